from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TEXTS, make_subject, make_tokenizer
from tokenizers import Regex, pre_tokenizers

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import elo, preferences
from emotion_concepts.experiments.preferences import ChoiceSet, choice_probabilities, half_split, ordered_pairs
from emotion_concepts.lm import scoring
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.head import Head
from emotion_concepts.lm.prompts import PromptFormat
from emotion_concepts.lm.scoring import next_logits, token_nats
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.steering import Condition, span_mask, steer

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}\n\n{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n\n{% endif %}"
)

CHOICES = ChoiceSet(
    ["count the loaves", "count the dogs", "laugh with him", "paint the whole room", "read a letter"],
    ["a", "a", "b", "b", "b"],
)
PAIRS = ordered_pairs(5)


def plain(subject, pair, vector=None, hot=(), strength=0.0, layer=1, choices=CHOICES):
    """One prompt at a time, without shared prefixes."""
    text, spans = preferences.choice_prompt(subject, choices, *pair)
    ids = preferences.letter_tokens(subject, choices)
    mine = [s for s, x in zip(spans, pair) if x in hot]

    def steering(rows, lengths, width):
        mask = np.zeros((1, width), bool)
        for s in mine:
            mask |= span_mask([s], lengths, width)
        return steer(subject, vector, strength, [layer], np.full(3, 2.0), mask)

    a, b = next_logits(subject, [text], ids, steering if mine else None)[0]
    return 1 / (1 + np.exp(b - a))


def test_shared_prefixes_equal_plain_prompts(tiny):
    got = choice_probabilities(tiny, CHOICES, PAIRS)[0]
    want = [plain(tiny, p) for p in PAIRS]
    assert np.abs(got - want).max() < 1e-4 and np.std(want) > 1e-3


def test_mixed_conditions_equal_plain_prompts(tiny):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, tiny.width)).astype(np.float32)
    conditions, hot = [Condition(v, s) for v, s in zip(vectors, (0.4, -0.7))], [{0, 2}, {1, 2}]
    got = choice_probabilities(tiny, CHOICES, PAIRS, conditions, hot, [1], np.full(3, 2.0))
    for c in range(2):
        want = [plain(tiny, p, vectors[c], hot[c], conditions[c].strength) for p in PAIRS]
        assert np.abs(got[c] - want).max() < 1e-4
    assert np.abs(got[0] - choice_probabilities(tiny, CHOICES, PAIRS)[0]).max() > 1e-3


def test_elo_recovers_known_strengths():
    truth = np.array([0.0, 1.0, -2.0, 0.5, 3.0])
    wins = 1 / (1 + np.exp(-(truth[:, None] - truth[None])))
    got = elo.ratings(wins)
    assert np.allclose(got, 1500 + 400 / np.log(10) * (truth - truth.mean()), atol=1.0)
    part = np.zeros((5, 5), bool)
    part[:2, 2:] = part[2:, :2] = True
    assert np.allclose(elo.ratings(wins, part), got, atol=2.0)
    first = np.clip(wins + 0.1, 0, 1)  # a bias for what is shown first cancels
    assert np.allclose(elo.order_averaged(first), wins, atol=0.06)
    ends = elo.rating_intervals(wins)
    assert ((ends[:, 0] <= got + 1) & (got - 1 <= ends[:, 1])).all()
    with pytest.raises(UserError, match="NaN"):
        elo.ratings(np.full((3, 3), np.nan))


def test_ratings_stand_beside_hard_wins(tiny_llama):
    table = preferences.elo(tiny_llama, CHOICES)
    assert table.nsmallest(2, "elo").elo.is_monotonic_increasing and table.beaten.between(0, 1).all()
    assert ((table.lo <= table.elo) & (table.elo <= table.hi)).all()


def test_hard_wins_count_opponents_of_other_groups_alone():
    wins = np.array([[0.5, 0.9, 0.51, 0.5], [0.1, 0.5, 0.6, 0.6], [0.49, 0.4, 0.5, 0.9], [0.5, 0.4, 0.1, 0.5]])
    assert elo.beaten(wins, ["a", "a", "b", "b"]).tolist() == [0.75, 1.0, 0.0, 0.25]
    played = ~np.eye(4, dtype=bool)
    played[0, 3] = played[3, 0] = False
    assert elo.beaten(wins, ["a", "a", "b", "b"], played).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_games_average_both_orders_and_keep_to_pairs_played():
    games = elo.Games(3, [(0, 1), (1, 0), (0, 2)], np.array([2.0, 1.0, 3.0]))
    assert games.played.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    p = 1 / (1 + np.exp(-np.array([2.0, 1.0, 3.0])))
    assert games.wins[0, 1] == pytest.approx((p[0] + 1 - p[1]) / 2) and np.isnan(games.wins[0, 2])
    assert games.wins[1, 0] == pytest.approx(1 - games.wins[0, 1]) and games.first_chosen == pytest.approx(p.mean())
    with pytest.raises(UserError, match="NaN"):
        elo.ratings(games.wins)
    assert elo.ratings(games.wins, games.played)[2] == pytest.approx(1500)


@pytest.mark.parametrize("n, opponents", [(32, 12), (9, 4), (8, 2)])
def test_each_item_meets_as_many_opponents_as_asked(n, opponents):
    pairs = preferences.balanced_pairs(n, opponents, seed=3)
    assert np.bincount([i for i, _ in pairs], minlength=n).tolist() == [opponents] * n
    assert len(set(pairs)) == len(pairs) and {(j, i) for i, j in pairs} == set(pairs)
    reached = {0}
    for _ in range(n):
        reached |= {j for i, j in pairs if i in reached}
    assert reached == set(range(n))  # no group plays apart
    assert pairs == preferences.balanced_pairs(n, opponents, seed=3)
    assert preferences.balanced_pairs(n, n - 1) == ordered_pairs(n)
    assert preferences.balanced_pairs(32, 12, 0) != preferences.balanced_pairs(32, 12, 1)


def test_sparse_pairs_share_the_questions_beginning_alone(tiny_llama, monkeypatch):
    """Whatever is shared, the numbers are the same; a first activity is read ahead only where that saves tokens."""
    v, hot, seen = np.random.default_rng(1).normal(size=tiny_llama.width).astype(np.float32), {0, 2}, []
    run = preferences.grouped_logits
    monkeypatch.setattr(
        preferences, "grouped_logits", lambda s, prompts, *a: seen.append(prompts) or run(s, prompts, *a)
    )
    short = replace(CHOICES, choose="{a} (A) or {b} (B)?")
    for pairs in ([(0, 1), (2, 1), (1, 0), (3, 4)], PAIRS):
        steering = [Condition(v, 0.5)], [hot], [1], np.full(3, 2.0)
        got = choice_probabilities(tiny_llama, short, pairs, *steering)[0]
        want = [plain(tiny_llama, p, v, hot, 0.5, choices=short) for p in pairs]
        assert np.abs(got - want).max() < 1e-4 and np.std(want) > 1e-3
    few, many = (len({p.group for p in prompts}) for prompts in seen)
    assert few == 4 - 1 and many == 2 * len(CHOICES.activities)  # by what is steered; also by first activity


def test_the_letters_share_of_all_answers(tiny):
    text, _ = preferences.choice_prompt(tiny, CHOICES, 0, 1)
    p = torch.softmax(torch.tensor(next_logits(tiny, [text])[0]).double(), 0)
    want = float(p[preferences.letter_tokens(tiny, CHOICES)].sum())
    got = preferences.letter_share(tiny, CHOICES, [(0, 1), (3, 2)])
    assert got.shape == (1, 2) and got[0, 0] == pytest.approx(want, rel=1e-3) and 0 < want < 1


def test_the_letters_share_under_steering(tiny_llama):
    v = np.random.default_rng(0).normal(size=tiny_llama.width).astype(np.float32)
    conditions = [None, Condition(v, 0.9)]
    rest, steered = preferences.letter_share(tiny_llama, CHOICES, [(0, 1)], conditions, [{0}] * 2, [1], np.full(3, 2.0))
    assert rest == pytest.approx(preferences.letter_share(tiny_llama, CHOICES, [(0, 1)])[0], rel=1e-3)
    assert steered != pytest.approx(rest, rel=1e-2)


def test_shifts_of_each_steered_activity(tiny_llama):
    v = {"one": np.ones(tiny_llama.width, np.float32)}
    norms = np.full(3, 2.0)
    table = preferences.activity_shifts(tiny_llama, CHOICES, v, 0.5, [1], norms, seed=0)
    assert list(table.columns) == [CHOICES.activities[i] for i in sorted(half_split(CHOICES, 0))]
    mean = preferences.steering_shift(tiny_llama, CHOICES, v, 0.5, [1], norms, seed=0)
    assert mean.one == pytest.approx(table.loc["one"].mean()) and abs(mean.one) > 0.01
    still = preferences.steering_shift(tiny_llama, CHOICES, v, 0.0, [1], norms, seed=0)
    assert still.one == pytest.approx(0, abs=1e-6)


def test_half_split_is_seeded_and_balanced():
    one, two = half_split(CHOICES, 0), half_split(CHOICES, 1)
    assert one == half_split(CHOICES, 0) and len(one) == 3
    assert any(half_split(CHOICES, s) != one for s in range(1, 6)) and two


def test_bad_input(tiny_llama):
    with pytest.raises(UserError, match="two different"):
        ChoiceSet(["x"], ["a"])
    bad = ChoiceSet(["x", "y"], ["a", "b"], letters=("Abracadabra", "B"))
    with pytest.raises(UserError, match="not one token"):
        preferences.letter_tokens(tiny_llama, bad)


def test_thinning_keeps_every_category():
    choices = ChoiceSet([f"a{i}" for i in range(64)], [f"c{i // 8}" for i in range(64)], "{a} or {b}?", "{x}?")
    few = preferences.thinned(choices, 32)
    assert len(few.activities) == 32 and all(few.categories.count(c) == 4 for c in set(choices.categories))
    assert preferences.thinned(choices, 64) == choices == preferences.thinned(choices, 500)
    for n in (8, 20, 50):  # whatever is asked for, all categories keep equally many
        kept = preferences.thinned(choices, n).categories
        assert len({kept.count(c) for c in set(choices.categories)}) == 1 and abs(len(kept) - n) <= 4


def test_steered_activities_meet_as_many_rivals_as_asked():
    hot = {0, 2, 4, 6}
    pairs = preferences.steered_pairs(8, hot, 2, seed=3)
    met = {i: {j for a, j in pairs if a == i} for i in hot}
    assert all(len(js) == 2 and not js & hot for js in met.values())
    assert {(j, i) for i, j in pairs} == set(pairs)  # each pair in both orders
    assert pairs == preferences.steered_pairs(8, hot, 2, seed=3) != preferences.steered_pairs(8, hot, 2, seed=4)
    assert len(preferences.steered_pairs(8, hot, "unsteered", 0)) == 2 * 4 * 4
    assert preferences.steered_pairs(8, hot, "all", 0) == ordered_pairs(8)


@pytest.fixture(scope="module")
def merging(tiny_llama):
    """A subject that splits text as Llama 3 and Qwen3 do and writes "(A" as one token after its chat template."""
    split = pre_tokenizers.Split(Regex(CL100K), "isolated")
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    merged = [*TEXTS, *["(A", "(B", "\n\n"] * 50]
    fast = make_tokenizer(pre_tokenizers.Sequence([split, whole]), merged)
    fast.chat_template = TEMPLATE
    return replace(tiny_llama, tokenizer=fast, prompt=PromptFormat(fast))


def test_letters_are_read_without_the_bracket_where_it_merges_with_them(merging):
    template = merging.prompt.chat("x")
    assert len(merging.encode(template + "(A")) == len(merging.encode(template)) + 1  # so nothing follows "(" alone
    with pytest.raises(UserError, match="not one token after any of .*other letters or prefills"):
        preferences.letter_tokens(merging, replace(CHOICES, prefills=("(",)))
    text, _ = preferences.choice_prompt(merging, CHOICES, 0, 3)
    assert text.endswith("<s>assistant\n\n")
    for token, letter in zip(preferences.letter_tokens(merging, CHOICES), "AB"):
        assert merging.encode(text + letter) == [*merging.encode(text), token]
        assert merging.tokenizer.decode([token]) == letter
    got = choice_probabilities(merging, CHOICES, PAIRS)[0]
    assert np.abs(got - [plain(merging, p) for p in PAIRS]).max() < 1e-4 and np.std(got) > 1e-3


def test_each_subject_has_its_own_opening(merging, tiny_llama):
    choices = replace(CHOICES)
    assert preferences.opening(merging, choices)[0] == "" and preferences.opening(tiny_llama, choices)[0] == "("
    assert preferences.choice_prompt(tiny_llama, choices, 0, 1)[0].endswith("Assistant: (")
    assert choices == CHOICES and preferences.thinned(choices, 2).openings == {}


def test_the_organism_reads_its_choice_after_a_bracket(organism):
    text, _ = preferences.choice_prompt(organism, CHOICES, 0, 1)
    prefill, ids = preferences.opening(organism, CHOICES)
    assert prefill == "(" and text.endswith("\n\nAssistant: (")
    assert [organism.tokenizer.decode([i]) for i in ids] == ["A", "B"]


def test_few_positions_at_a_time_give_the_same_probabilities(tiny, texts, monkeypatch):
    want, seen, head = token_nats(tiny, texts), [], Head.__call__
    monkeypatch.setattr(scoring, "LOGITS_BUDGET", 7 * 400 + 5)  # seven positions of this vocabulary
    monkeypatch.setattr(Head, "__call__", lambda self, h, ids=None: seen.append(len(h)) or head(self, h, ids))
    got = token_nats(tiny, texts)
    assert max(seen) == 7 and sum(seen) == sum(map(len, want))
    assert all(np.allclose(g, w, atol=1e-5) for g, w in zip(got, want, strict=True))
    assert [len(x) for x in token_nats(tiny, ["A"])] == [len(tiny.encode("A")) - 1]  # no position at all


def test_conditions_without_layers_are_refused(tiny_llama):
    steered, rest = Condition(np.ones(tiny_llama.width), 0.5), Condition(np.ones(tiny_llama.width), 0.0)
    with pytest.raises(UserError, match="need layers"):
        grouped_logits(tiny_llama, [Prompt("read", 0, ((0, 1),))], [1], [steered])
    with pytest.raises(UserError, match="need layers"):
        grouped_log_probs(tiny_llama, ["read", "paint"], [[" it"], [" it"]], [None, steered])
    free = grouped_log_probs(tiny_llama, ["read", "paint"], [[" it"], [" it"]], [None, rest])
    assert np.array_equal(free, grouped_log_probs(tiny_llama, ["read", "paint"], [[" it"], [" it"]]))


@pytest.mark.parametrize("sampling", [{"temperature": 1.0}, {"temperature": 0.0}])
def test_logits_that_are_no_numbers_are_told(sampling):
    subject = make_subject("llama")
    broken = subject.encode("!")[-1]
    with torch.no_grad():
        subject.model.get_input_embeddings().weight[broken] = float("nan")
    with pytest.raises(UserError, match="after prompt 1; load the model in float32 or bfloat16"):
        generate(subject, ["read", "read!", "paint"], 2, progress=False, **sampling)
    assert len(generate(subject, ["read", "paint"], 1, progress=False, **sampling)) == 2


def test_no_band_is_the_last_block_alone():
    """What is added there to an activity's tokens reaches no later token."""
    assert preferences.layer_bands(8) == [[k] for k in range(7)] and preferences.layer_bands(1) == [[0]]
    assert preferences.layer_bands(13) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert preferences.layer_bands(30)[-1] == [28, 29]
