import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import locality, persistence, standing, swaps
from emotion_concepts.reading.activations import at_reply, per_token
from emotion_concepts.reading.pooling import span_of
from emotion_concepts.texts import materials
from emotion_concepts.texts.published import emotion_words

EMOTIONS = ["afraid", "calm", "happy", "sad"]
TRIMMING = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</{{ m.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS)


@pytest.fixture
def trimming(tiny_llama, monkeypatch):
    """A subject whose chat template trims what is said, as those of Llama 3 and Gemma do."""
    from emotion_concepts.lm.subject import wrap

    monkeypatch.setattr(tiny_llama.tokenizer, "chat_template", TRIMMING)
    return wrap(tiny_llama.model, tiny_llama.tokenizer, "trimming")


def test_swaps_are_read_at_the_parts_that_are_named(tiny_llama, vectors):
    pairs = [("count the loaves now", "count the dogs now"), ("paint the loaves", "paint the dogs")]
    swap = {"emotion": "calm", "pairs": pairs, "parts": {"noun": ("loaves", "dogs")}}
    found = swaps.differences(tiny_llama, vectors, swap)
    assert list(found) == ["noun", "message end", "reply start"]
    assert all(d.shape == (2, 3) for d in found.values())
    a, b = (vectors.scores(at_reply(tiny_llama, [p[k] for p in pairs], [2])[:, 0], 2)[:, 1] for k in (0, 1))
    assert found["reply start"][:, 2] == pytest.approx(a - b, abs=1e-5)
    texts = [tiny_llama.prompt.chat(p) for p in pairs[0]]
    spans = [span_of(tiny_llama, t, w) for t, w in zip(texts, ("loaves", "dogs"))]
    read = [per_token(tiny_llama, t, [1])[1][s:e, 0].mean(0, keepdims=True) for t, (s, e) in zip(texts, spans)]
    x, y = (vectors.scores(r, 1)[0, 1] for r in read)
    assert found["noun"][0, 1] == pytest.approx(x - y, abs=1e-5)
    same = swaps.differences(tiny_llama, vectors, swap | {"pairs": [pairs[0][:1] * 2], "parts": {}})
    assert max(np.abs(d).max() for d in same.values()) < 1e-6


def test_each_pair_may_have_its_own_probe_and_part(tiny_llama, vectors):
    pairs = [("count the loaves now", "count the dogs now"), ("paint it", "read it")]
    own = {"emotion": ["calm", "sad"], "pairs": pairs, "parts": {"word": [("loaves", "dogs"), ("paint", "read")]}}
    both = swaps.differences(tiny_llama, vectors, own)
    for k, (emotion, part) in enumerate(zip(own["emotion"], own["parts"]["word"])):
        one = swaps.differences(
            tiny_llama, vectors, {"emotion": emotion, "pairs": pairs[k : k + 1], "parts": {"word": part}}
        )
        for place in one:
            assert both[place][k] == pytest.approx(one[place][0], abs=1e-5)


def test_a_part_is_the_last_one_of_its_message_even_where_the_template_trims(trimming, vectors):
    pair = (" dogs and dogs and a sea \n", " loaves and loaves and a sea \n")
    swap = {"emotion": "calm", "pairs": [pair], "parts": {"noun": ("dogs", "loaves")}}
    found = swaps.differences(trimming, vectors, swap)["noun"][0, 1]
    read = []
    for message, word in zip(pair, ("dogs", "loaves")):
        text = trimming.prompt.chat(message)
        assert message not in text and message.strip() in text
        start, end = span_of(trimming, text, word, 1)
        read.append(vectors.scores(per_token(trimming, text, [1])[1][start:end, 0].mean(0, keepdims=True), 1)[0, 1])
    assert found == pytest.approx(read[0] - read[1], abs=1e-5)


def test_flips_are_all_signs_or_a_sample_with_the_unflipped_mean():
    x = [1.0, 2.0, 3.0]
    assert sorted(swaps.flipped(x)) == pytest.approx([-2, -4 / 3, -2 / 3, 0, 0, 2 / 3, 4 / 3, 2])
    estimate, floor, p = swaps.against_flips(x)
    assert estimate.value == 2 == floor and p == 1 / 8  # three pairs can never exceed their null
    many = np.random.default_rng(0).normal(0.5, 1, 40)
    estimate, floor, p = swaps.against_flips(many)
    assert swaps.flipped(many)[0] == pytest.approx(many.mean()) and estimate.lo > 0
    assert estimate.value > floor > 0 and p < 0.05
    noise = many - many.mean()
    assert swaps.against_flips(noise)[2] > 0.2


def test_depths_tell_early_from_late():
    d = np.zeros((20, 6))
    d[:, 3:] = np.random.default_rng(0).normal(1, 0.1, (20, 1))
    table = swaps.depths({"place": d}, [0, 1], [3, 4, 5])
    assert table.early["place"] == 0 and table.lo["place"] > 0.9 and table.p["place"] < 0.01 and table.n["place"] == 20


def planted_places(noise_of_reply: float, messages: int = 40):
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=(2, messages * 6))
    table = pd.DataFrame({"prompt": np.repeat(range(messages), 6), "emotion": list("abcdef") * messages})
    table["user end"], table["reply start"] = end, start
    for half in locality.HALVES:
        table[half] = start + noise_of_reply * rng.normal(size=len(table))
    return table.assign(**{"reply mean": table[list(locality.HALVES)].mean(axis=1)})


def test_place_correlations_tell_which_place_goes_with_the_reply():
    table = planted_places(0.3)
    r = locality.place_correlations(table, 300)
    assert r.r["reply_start_reply"] > 0.9 > 0.3 > abs(r.r["user_end_reply"])
    assert (r.lo <= r.r).all() and (r.r <= r.hi).all() and r.lo["gain"] > 0.2
    assert abs(r.r["user_end_reply_start"]) < r.null["user_end_reply_start"] < 0.4
    assert r.null["gain"] == 0


def test_reliability_of_the_reply_falls_with_its_noise():
    solid, noisy = (locality.reply_reliability(planted_places(x)) for x in (0.2, 5))
    assert solid > 0.9 > locality.LEAST > noisy


def test_places_skip_no_prompt_and_centre_each_probe(tiny_llama, vectors):
    messages = ["count the loaves", "paint", "read a letter"]
    table, told = locality.places(tiny_llama, vectors, 1, messages, ["calm", "sad"], 4, 8)
    assert list(table.columns) == ["prompt", "emotion", *locality.PLACES, *locality.HALVES]
    assert [len(r) for r in told] == [4, 4, 4]
    for place in [*locality.PLACES, *locality.HALVES]:
        assert np.abs(table.groupby("emotion")[place].mean()).max() < 1e-6
    text = tiny_llama.prompt.chat(messages[0])
    end = span_of(tiny_llama, text, messages[0])[1]
    by_hand = vectors.scores(per_token(tiny_llama, text, [1])[1][end - 1 : end, 0], 1)[0]
    others = [c for c in table.prompt.unique() if c]
    calm = table[table.emotion == "calm"].set_index("prompt")["user end"]
    assert calm[0] * (1 + 1 / len(others)) == pytest.approx(
        by_hand[EMOTIONS.index("calm")]
        - np.mean([_end(tiny_llama, vectors, messages[k])[EMOTIONS.index("calm")] for k in others]),
        abs=1e-4,
    )


def _end(subject, vectors, message):
    text = subject.prompt.chat(message)
    end = span_of(subject, text, message)[1]
    return vectors.scores(per_token(subject, text, [1])[1][end - 1 : end, 0], 1)[0]


def test_autocorrelation_is_that_of_the_projection_within_texts():
    rng = np.random.default_rng(0)
    states, d = [rng.normal(size=(n, 32)) for n in (40, 2)], rng.normal(size=(2, 32))
    got = persistence.autocorrelation(states, d, [1, 3, 500])
    x = states[0] @ d.T
    x = x - x.mean(0)
    want = (x[:-3] * x[3:]).sum(0) / np.sqrt((x[:-3] ** 2).sum(0) * (x[3:] ** 2).sum(0))
    assert got.shape == (2, 2, 3) and got[0, :, 1] == pytest.approx(want)
    assert np.isnan(got[:, :, 2]).all() and np.isnan(got[1]).all()


def test_a_mood_shows_where_it_changes_and_not_where_it_fills_the_text():
    rng, axis = np.random.default_rng(0), np.eye(8)[:1]
    noise = rng.normal(size=(2, 80, 8))
    filled, half = noise[0] + 5 * axis, noise[1] + 5 * axis * (np.arange(80) < 40)[:, None]
    one, other = persistence.autocorrelation([filled, half], axis, [8])[:, 0, 0]
    assert abs(one) < 0.3 < 0.6 < other


CHATS = [
    (
        ["laugh", "count the loaves and the dogs", "read a letter from the sea to him"],
        ["laugh", "paint the room", "read a letter from the sea to him"],
    )
]


def test_what_a_story_leaves_behind_is_read_in_the_same_last_turn(tiny_llama, trimming, vectors):
    with pytest.raises(UserError, match="differ in a turn before the last"):
        persistence.story_turns([(["count", "paint"], ["count", "paint"])])
    with pytest.raises(UserError, match="differ in a turn before the last"):
        persistence.story_turns([(["count", "paint"], ["paint", "count"])])
    assert persistence.story_turns(CHATS) == [1]

    def mood(acts):
        scores = vectors.scores(acts, 1)
        return scores[:, 2] - scores[:, 3]

    for subject in (tiny_llama, trimming):
        told = persistence.tell(subject, CHATS, 1)
        for chat, turns in zip(told[0], CHATS[0]):
            tokens = per_token(subject, persistence.chat_of(subject, turns), [1])[0]
            assert ["".join(tokens[a:b]).strip() for a, b in chat.spans] == turns
        during, after = persistence.carried_over(told, [1], mood)
        assert during.shape == after.shape == (1,) and during[0] != 0 != after[0]
        start, end = told[0][0].spans[2]
        other = told[0][1].spans[2]
        by_hand = mood(told[0][0].acts[start:end].mean(0)[None]) - mood(told[0][1].acts[slice(*other)].mean(0)[None])
        assert after == pytest.approx(by_hand, abs=1e-6)
        assert persistence.by_turn(told, mood, 4).shape == (1, 2, 12)


def test_the_share_that_is_left_falls_with_the_difference():
    """Two chats whose states differ by 4 in the story and by 2, then 1, then nothing, in the turn after it."""
    rng = np.random.default_rng(0)
    axis = np.eye(8)[0]
    told = []
    for sign in (1, -1):  # whichever way it was moved
        same = rng.normal(size=(20, 8))
        fade = np.concatenate([np.full(8, 4.0), np.full(4, 2.0), np.full(4, 1.0), np.zeros(4)])
        moved = same + sign * fade[:, None] * axis
        told.append(tuple(persistence.Told(x, [(0, 8), (8, 20)]) for x in (moved, same)))
    left = persistence.share_left(told, [0, 0], axis, ((0, 4), (4, 8), (8, 12), (8, 16)))
    assert left[0, :3] == pytest.approx([0.5, 0.25, 0]) and np.isnan(left[0, 3])


def test_a_standing_state_is_found_where_it_is_expressed_and_memorising_shows(organism):
    """A bag of own phrases is easy to classify; labels without meaning are not, held out."""
    material = standing.first_feelings(materials.load(organism, "standing"), 6)
    found = standing.standing_state(organism, material, 4)
    chance = 1 / 6
    assert list(found.index) == [*material["frames"], "shuffled labels", "own texts"]
    assert found.lo["expressed"] > 2 * chance > found.lo["shuffled labels"]
    assert found.accuracy["own texts"] >= found.accuracy["expressed"]
    assert (found.n == 36).all()


def test_halves_hold_as_many_of_every_label():
    labels = np.repeat(["a", "b", "c"], [4, 6, 12])
    train = standing.halves(labels, 3)
    assert [int(train[labels == x].sum()) for x in "abc"] == [2, 3, 6]
    assert (train != standing.halves(labels, 4)).any()


@pytest.fixture(scope="module")
def natural():
    return {name: materials.natural(name) for name in ("locality", "standing", "hidden")}


def test_natural_and_own_material_have_the_same_form(organism, natural):
    for name in ("locality", "standing"):
        assert set(materials.load(organism, name)) == set(natural[name])
    for material in (materials.load(organism, "locality"), natural["locality"]):
        assert len(material["messages"]) * len(material["emotions"]) >= 48
        for swap in material["swaps"].values():
            pairs, emotion = swap["pairs"], swap["emotion"]
            assert isinstance(emotion, str) or len(emotion) == len(pairs)
            for name, part in swap["parts"].items():
                each = [part] * len(pairs) if isinstance(part[0], str) else part
                assert len(each) == len(pairs), name
                assert all(x in a and y in b for (x, y), (a, b) in zip(each, pairs)), name
        for sad, happy in material["aside"]:
            assert sad[-1] == happy[-1] and sad[:2] == happy[:2] and sad != happy


def test_natural_swaps_are_many_and_differ_in_one_part(natural):
    found = natural["locality"]["swaps"]
    assert all(len(s["pairs"]) >= 12 == len(s["pairs"][:12]) for s in found.values())
    assert len(natural["locality"]["messages"]) >= 12 and len(natural["locality"]["aside"]) >= 12
    assert len(set(found["negation"]["emotion"])) >= 12
    for name in ("dose", "harmless"):
        for (a, b), (x, y) in zip(found[name]["pairs"], found[name]["parts"]["number"]):
            assert a.count(x) == 1 and a.replace(x, y) == b and len(x) == len(y)
            assert float(x) > float(y)
    assert found["dose"]["parts"] == found["harmless"]["parts"]  # twins: the same numbers, pair by pair
    assert all(a.replace(" good ", " hard ") == b for a, b in found["adjective"]["pairs"])
    assert all(a.replace("I am ", "I am not ") == b for a, b in found["negation"]["pairs"])
    first = 0
    for a, b in found["persons"]["pairs"]:
        again = a.split()[-1]
        assert b.split()[-1] == again and a.count(again) == 2 and sorted(a.split()) == sorted(b.split())
        first += a.startswith(again)
    assert first * 2 == len(found["persons"]["pairs"])  # who is mentioned again stands first as often as last


def test_natural_texts_show_feelings_without_their_words(natural):
    words = re.compile(r"\b(" + "|".join(map(re.escape, emotion_words())) + r")\b", re.I)
    told = [s for statements in natural["standing"]["statements"].values() for s in statements]
    told += natural["locality"]["messages"] + natural["hidden"]["leads"]
    told += [turn for pair in natural["locality"]["aside"] for chat in pair for turn in chat]
    assert not [(words.search(t).group(), t) for t in told if words.search(t)]


def test_statements_are_as_many_for_every_feeling_and_unlike(natural):
    statements = natural["standing"]["statements"]
    assert len(statements) == 15 and {len(s) for s in statements.values()} == {12}
    told = [s for x in statements.values() for s in x]
    grams = [{tuple(w[i : i + 6]) for i in range(len(w) - 5)} for w in (t.lower().split() for t in told)]
    assert not any(a & b for a, b in combinations(grams, 2))
    for kind, frames in natural["standing"]["frames"].items():
        assert all(f.startswith("{statement}") for f in frames), kind


def test_a_curve_over_layers_has_its_interval_over_pairs():
    d = np.random.default_rng(0).normal([0, 1, 5], 1, (30, 3))
    curve = swaps.by_layer(d, 500)
    assert curve["mean"].to_numpy() == pytest.approx(d.mean(0))
    assert (curve.lo < curve["mean"]).all() and (curve["mean"] < curve.hi).all() and curve.lo[2] > 4
