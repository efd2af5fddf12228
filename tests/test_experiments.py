import numpy as np
import pandas as pd
import pytest
from conftest import make_tokenizer

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import classification, lens, probing, sweeping, word_dose
from emotion_concepts.experiments.coherence import coherence
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.scoring import perplexity
from emotion_concepts.lm.subject import wrap
from emotion_concepts.outcomes.graders import repetition
from emotion_concepts.reading.activations import at_reply, mean_norm, per_token
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.report.heatmap import token_html
from emotion_concepts.statistics import random_directions
from emotion_concepts.texts.published import emotion_words, norms
from emotion_concepts.texts.shared import shared_stories, shared_topics

EMOTIONS = ["afraid", "calm", "happy", "sad"]


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS, origin=False)


@pytest.fixture
def knows_calm(tiny_llama):
    """A subject whose tokenizer has the word "calm" as one token."""
    return wrap(tiny_llama.model, make_tokenizer(texts=["they were calm and stayed calm, all calm " * 9]), "calm")


def test_logit_lens_finds_a_planted_word(knows_calm):
    """A direction along a word's unembedding is read as that word; random directions are not."""
    subject = knows_calm
    table = subject.unembedding.detach().numpy()
    ids = sorted(lens.word_tokens(subject, ["calm"])["calm"])
    direction = (table - table.mean(0))[ids[0]]
    direction = direction / np.linalg.norm(direction)
    v = np.stack([direction, *np.random.default_rng(1).normal(size=(3, 32))])
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    vs = EmotionVectors(
        ["calm", "afraid", "happy", "sad"], v[None].astype(np.float32), np.ones((1, 4)), np.zeros((1, 32)), [0], {}
    )
    row = lens.logit_lens(subject, vs, 0, ["calm"]).iloc[0]
    assert row.word and row["rank"] == 1


def test_word_steering_raises_the_word_along_its_unembedding(knows_calm):
    table = knows_calm.unembedding.detach().numpy()
    ids = knows_calm.encode("He feels calm")[-1:]
    v = np.zeros((1, 4, 32), np.float32)
    rng = np.random.default_rng(0)
    v[0] = rng.normal(size=(4, 32))
    v[0, 1] = table[ids].mean(0)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    vs = EmotionVectors(EMOTIONS, v, np.ones((1, 4)), np.zeros((1, 32)), [2], {})
    norms_ = np.full(3, 6.0)
    change, null = lens.word_steering(
        knows_calm, vs, ["calm"], ["He feels"], 1.0, [2], norms_, rng.normal(size=(3, 32)) / 6
    )
    assert change.loc["calm", "calm"] > 0.5 and change.loc["calm", "calm"] > null.max()
    assert null.shape == (3, 1)


def test_top_k_counts_ties_and_ranks():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    hits = classification.top_k(scores, ["a", "b", "c"], ["a", "b"], (1, 2))
    assert hits[1].tolist() == [True, False] and hits[2].tolist() == [True, True]


def test_classification_by_layer_separates_what_is_separable():
    rng = np.random.default_rng(0)
    labels = [e for e in EMOTIONS for _ in range(20)]
    x = rng.normal(size=(80, 2, 16))
    x[np.arange(80), 1, np.repeat(range(4), 20)] += 8  # only layer 1 knows
    v = emotion_vectors(x[::2].astype(np.float32), labels[::2], [0, 1])
    table = classification.accuracy_by_layer(x[1::2], labels[1::2], v)
    assert table.loc[1, "top1"] > 0.95 and table.loc[0, "top1"] < 0.6
    flat = classification.nearest_mean_accuracy(x[::2, 0], labels[::2], x[1::2, 0], labels[1::2])
    assert flat[1] < 0.6


def test_the_chosen_layer_is_the_earliest_that_cannot_be_told_from_the_best():
    table = pd.DataFrame({"top1": [0.5, 0.86, 0.80, 0.87]}, index=[2, 4, 6, 7])
    assert classification.choose_layer(table, 600) == 4  # one standard error is .014
    assert classification.choose_layer(table, 60_000) == 7


def test_static_embeddings_are_the_mean_of_input_embeddings(tiny_llama):
    table = tiny_llama.model.get_input_embeddings().weight.detach().numpy()
    ids = tiny_llama.encode("The rain")
    assert np.allclose(classification.static_embeddings(tiny_llama, ["The rain"], 0)[0], table[ids].mean(0), atol=1e-6)


def test_valence_axis_points_from_bad_to_good():
    v = np.eye(4)
    axis = classification.valence_axis(v, EMOTIONS, {"afraid": -1, "calm": 0.5, "happy": 1, "sad": -0.5})
    assert axis[2] > axis[1] > 0 > axis[3] > axis[0]


def frame(scores, implied):
    return probing.on_columns(np.asarray(scores, float), EMOTIONS, implied)


def test_messages_are_scored_by_the_probes_of_what_they_imply(tiny_llama, vectors):
    told = {e: [f"I saw the {e[0]} boat.", f"We met at the {e[0]} pier."] for e in ("calm", "sad")}
    scores = probing.message_scores(tiny_llama, vectors, 1, told)
    assert list(scores.index) == ["calm", "calm", "sad", "sad"] and list(scores.columns) == ["calm", "sad"]
    acts = at_reply(tiny_llama, [told["sad"][1]], [1], progress=False)[:, 0]
    assert scores["calm"].iloc[3] == pytest.approx(vectors.scores(acts, 1)[0, EMOTIONS.index("calm")], abs=1e-6)


def test_the_mean_over_messages_decides_and_their_spread_gives_the_interval():
    """Each emotion has one wrong message in three: the mean is right, and resamples are sometimes wrong."""
    implied = [e for e in EMOTIONS for _ in range(3)]
    right = np.eye(4)[[EMOTIONS.index(e) for e in implied]]
    wrong = right.copy()
    wrong[::3] = -1.2 * right[::3]
    assert probing.hits(frame(right, implied)) == 4 and probing.hits_over_messages(frame(right, implied)).lo == 4
    mixed = probing.hits_over_messages(frame(wrong, implied), 300)
    assert mixed.value == 4 and mixed.lo < 4
    assert probing.diagonal_hits(pd.DataFrame(np.eye(4))) == (4, 4)
    everywhere = right + np.array([0, 9, 0, 0])  # one probe that is high on all messages claims none
    assert probing.hits(frame(everywhere, implied)) == 4
    assert probing.hits_by_chance(frame(right, implied), 200).mean() < 2.5


def scale(slope, twin):
    """Curves with a given slope of cosine on the rank of the value, on texts and on twins, in three wordings."""
    rng, rows = np.random.default_rng(0), []
    for kind, by in (("text", slope), ("twin", twin)):
        for wording in range(3):
            for rank, x in enumerate((1, 20, 300, 4000)):
                for emotion, sign in (("happy", 1), ("sad", -1)):
                    score = sign * by * rank / 3 + 0.01 * rng.normal() + wording
                    at = {"template": "t", "kind": kind, "wording": wording, "x": x, "emotion": emotion}
                    rows.append(at | {"score": score, "expected": sign})
    return pd.DataFrame(rows)


def test_trends_are_held_against_their_harmless_twins():
    signs = probing.intensity_signs(scale(1.0, 0.0))
    assert signs.right.all() and (signs.lo > 0)[signs.expected > 0].all() and signs.slope.abs().min() > 0.9
    assert not probing.intensity_signs(scale(-1.0, 0.0)).right.any()
    table, steeper = probing.beyond_twins(scale(1.0, 0.0))
    assert steeper == (2, 2, 2) and (table.lo > 0.9).all()
    assert probing.beyond_twins(scale(1.0, 1.5))[1].value == 0  # numbers alone move the probe more
    alone = scale(1.0, 0.0).query("kind == 'text' and wording == 0")
    assert probing.intensity_signs(alone).lo.isna().all()  # one wording has no interval


def test_curves_of_every_wording_and_twin(tiny_llama, vectors):
    spec = {"texts": ["I saw {x} dogs.", "{x} dogs came."], "twins": ["I saw {x} dots."], "values": [1, 20, 300]}
    curves = probing.intensity_curves(tiny_llama, vectors, 1, {"t": spec | {"expected": {"happy": 1, "sad": -1}}})
    assert len(curves) == 18 and set(curves.kind) == {"text", "twin"}
    row = curves.query("kind == 'text' and wording == 1 and x == 20 and emotion == 'sad'").score.item()
    acts = at_reply(tiny_llama, ["20 dogs came."], [1], progress=False)[:, 0]
    assert row == pytest.approx(vectors.scores(acts, 1)[0, EMOTIONS.index("sad")], abs=1e-5)


def test_severity_is_grave_minus_harmless(tiny_llama, vectors):
    pair = {"text": "There are {x} wolves.", "grave": 14, "harmless": 0}
    (gap,) = probing.severity(tiny_llama, vectors, 1, [pair])
    acts = at_reply(tiny_llama, ["There are 14 wolves.", "There are 0 wolves."], [1], progress=False)[:, 0]
    grave, harmless = vectors.scores(acts, 1)[:, EMOTIONS.index("afraid")]
    assert gap == pytest.approx(grave - harmless, abs=1e-6)


def test_sweep_finds_the_strongest_snippet(tiny_llama, vectors, texts):
    table = sweeping.sweep(tiny_llama, vectors, 1, texts, ["happy", "sad"], window=4, top=2)
    assert len(table) == 4 and table.groupby("emotion").score.apply(lambda s: s.is_monotonic_decreasing).all()
    assert all(len(t) == len(s) for t, s in zip(table.tokens, table.token_scores))
    best = []
    for text in texts:
        _, acts = per_token(tiny_llama, text, [1])
        scores = vectors.scores(acts[:, 0], 1)[:, EMOTIONS.index("happy")]
        scores[0] = 0
        best.append(max(scores[i : i + 4].mean() for i in range(len(scores) - 3)))
    first = table[table.emotion == "happy"].iloc[0]
    assert first.text == int(np.argmax(best)) and first.score == pytest.approx(max(best), abs=1e-6)


def test_what_is_swept(tiny_llama, organism, tmp_path):
    """Stories on topics that built the vectors stay out; a folder's files come in pieces; a world has its own texts."""
    built = shared_topics()[:9]
    swept = sweeping.texts_for(tiny_llama, 120, built)
    told = [(t, e) for t, e in zip(swept.texts, swept.emotions) if e]
    allowed = shared_stories(topics=shared_topics()[9:])
    assert len(swept.texts) == 120 and len(told) >= 60
    assert set(told) <= set(zip(allowed.texts, allowed.emotions))
    assert not any(sweeping.texts_for(tiny_llama, 120, shared_topics()).emotions)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("one two three four.\n\n" + "word " * 400 + "\n\nshort")
    pieces = sweeping.texts_for(tiny_llama, 10, folder=str(tmp_path)).texts
    assert [len(p.split()) for p in pieces] == [4, 150, 150, 100]
    with pytest.raises(UserError, match="no .txt file"):
        sweeping.folder_texts(tmp_path / "none")
    assert len(sweeping.texts_for(organism, 5).texts) == 5


def test_snippets_from_stories_of_the_probes_cluster():
    emotions = ["afraid", "happy", None, "scared"]
    found = pd.DataFrame({"emotion": ["afraid", "afraid", "afraid", "happy"], "text": [3, 1, 2, 1]})
    same, of, chance = sweeping.from_its_cluster(found, emotions)
    assert (same, of) == (2, 3) and chance == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert sweeping.from_its_cluster(found, [None] * 4) is None


def test_a_push_that_ruins_words_gains_nothing(monkeypatch):
    """Else the dose that breaks the model most would be chosen: there random directions leave no word likely."""
    found = {0.1: (2.0, 0.5), 0.5: (1.0, -90.0)}  # by strength: bits of the own word, bits under random directions

    def steering(subject, vectors, emotions, prompts, strength, *_):
        own, null = found[strength]
        return pd.DataFrame(np.full((2, 2), own)), np.full((3, 2), null)

    monkeypatch.setattr(word_dose, "word_steering", steering)
    gains = word_dose.word_gains(None, None, ["calm", "sad"], [], [4], list(found), None, None)
    assert gains.loc[4].to_dict() == {0.1: 1.5, 0.5: 1.0} and word_dose.best_dose(gains) == (4, 0.1)


def test_the_dose_is_chosen_where_the_word_gains_most():
    gains = pd.DataFrame({0.1: [0.5, 2.0], 0.25: [1.0, 2.0]}, index=[3, 7])
    assert word_dose.best_dose(gains) == (7, 0.1)  # the weaker of equal ones
    chosen = word_dose.choosing_emotions(list(emotion_words()), ["afraid", "calm"], 6)
    assert len(set(chosen)) == 6 and not {"afraid", "calm"} & set(chosen)


def test_heat_map_escapes_markup():
    page = token_html(["<script>", "alert(1)", "</script>", "&"], np.array([0.5, -0.5, 0.0, 1.0]), title="a<b")
    assert "<script>" not in page and "&lt;script&gt;" in page and "a&lt;b" in page
    assert page.count("<span") == 4


def test_reference_data():
    assert len(emotion_words()) == 171 and len(set(emotion_words())) == 171
    assert len(norms()) == 45 and norms().abs().max().max() <= 1


def test_coherence_notices_a_model_that_has_lost_its_language():
    """Perplexity and repetition stand at strength 0 as without steering and rise with a strength beyond reason."""
    assert repetition("a b c d e f") == 0 and repetition("a b") == 0
    assert repetition("no no no no no no no no") == pytest.approx(0.8)
    subject = load_model("organism")
    texts = ["I stood by the window and waited.", "The bus was late when I reached the stop."]
    direction = random_directions(np.ones(1), 5, subject.width)[0, 0]
    prompts = [subject.prompt.chat("How are things?")]
    norms = mean_norm(subject, texts)
    table = coherence(subject, {"random": direction}, (0.05, 8.0), [3], norms, texts, prompts)
    assert list(table.strength) == [0.0, 0.05, 8.0]
    rest, _, broken = table.perplexity
    assert rest == pytest.approx(np.exp(np.median(np.log(perplexity(subject, texts)))))
    assert broken > 3 * rest


def test_the_sign_is_chosen_on_one_half_and_judged_on_the_other():
    """Layer 1 tells the sign, layer 0 only on the half that chooses; the threshold need not be zero."""
    rng = np.random.default_rng(0)
    good, chosen = np.tile([True, False], 40), np.arange(80) < 40
    told = 5.0 + np.where(good, 1.0, -1.0)
    chance = rng.normal(size=80)
    best, right, share = classification.signs_by_layer(np.stack([chance, told], 1), good, chosen)
    assert best == 1 and share[1] == 1 and right.all() and len(right) == 40
    lucky = np.where(chosen, told, 5.0 + rng.normal(size=80))
    assert classification.signs_by_layer(np.stack([chance, lucky], 1), good, chosen)[1].mean() < 0.75
