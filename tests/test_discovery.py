"""Which stories a run reads, how they are split, and what words and an untrained network tell of them."""

import json

import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import discovery, word_baselines
from emotion_concepts.lm.subject import wrap
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.neutral import Neutral
from emotion_concepts.texts.shared import shared_stories, shared_topics

STORIES = Corpus(
    ["the dog ran over the hill and barked at him", "the lake lay still and nobody spoke at all"] * 4,
    ["afraid", "calm"] * 4,
    [t for t in ("a", "b", "c", "d") for _ in range(2)],
)


def test_who_writes_the_stories(tiny_llama, organism, tmp_path, monkeypatch):
    """A world's subject and a large instruct model write their own; small ones and base models read the shared ones."""
    assert discovery.author(organism, "auto")[0] == "own" and discovery.author(organism, "shared")[0] == "shared"
    kind, why = discovery.author(tiny_llama, "auto")
    assert kind == "shared" and "template" in why
    speaks = wrap(tiny_llama.model, tiny_llama.tokenizer, "speaks")
    monkeypatch.setattr(speaks.prompt, "has_template", True)
    kind, why = discovery.author(speaks, "auto")
    assert kind == "shared" and "too few" in why
    monkeypatch.setattr(discovery, "WRITES", 1.0)
    assert discovery.author(speaks, "auto")[0] == "own"
    (tmp_path / "mine.jsonl").write_text("{}")
    assert discovery.author(organism, str(tmp_path / "mine.jsonl"))[0] == str(tmp_path / "mine.jsonl")
    with pytest.raises(UserError, match="not a file"):
        discovery.author(organism, "shard")


def test_shared_stories_have_the_same_topics_for_all_emotions(tiny_llama, capsys):
    stories, skip = discovery.gather(tiny_llama, "auto", {"skip": 50}, 3, None)
    assert skip == discovery.SHORT_SKIP and len(stories) == 171 * 3
    assert {e: sorted(t for t, x in zip(stories.topics, stories.emotions) if x == e) for e in ("calm", "sad")}[
        "calm"
    ] == (sorted(set(stories.topics)))
    assert "stories: shared" in capsys.readouterr().out
    assert len(discovery.gather(tiny_llama, "shared", {}, 1200, None)[0]) == 171 * len(shared_topics())


def test_a_corpus_file_by_anyone(tiny_llama, tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"text": t, "emotion": e, "topic": p} for t, e, p in zip(STORIES.texts, STORIES.emotions, STORIES.topics)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert discovery.gather(tiny_llama, str(path), {}, 1, None)[0].texts == STORIES.texts


def test_three_parts_share_no_topic():
    stories = shared_stories(emotions=["afraid", "calm"])
    parts = discovery.three_parts(stories, 0)
    topics = [{stories.topics[i] for i in rows} for rows in parts]
    assert [len(t) for t in topics] == [6, 3, 3] and not topics[0] & topics[1] | topics[1] & topics[2] | topics[
        0
    ] & topics[2]
    lone = Corpus([*STORIES.texts, "x y z"], [*STORIES.emotions, "sad"], [*STORIES.topics, "d"])
    train, choose, report = discovery.three_parts(lone, 0)  # seed 0 puts topic d behind: sad has no story to build from
    assert "sad" not in {lone.emotions[i] for i in train} | {lone.emotions[i] for i in choose} | {
        lone.emotions[i] for i in report
    }


def test_hooks_read_what_the_model_reports(tiny, monkeypatch):
    assert discovery.hook_gap(tiny, "The rain fell.") < 1e-4
    tokens, acts = discovery.per_token(tiny, "The rain fell.")
    monkeypatch.setattr(discovery, "per_token", lambda *a: (tokens, acts[:, [1, 2, 0]]))  # off by one layer
    assert discovery.hook_gap(tiny, "The rain fell.") > 0.01


def test_the_untrained_network_is_another_of_the_same_shape(tiny_llama, monkeypatch):
    neutral = Neutral(["How? It is on the left of the hill."], ["It is on the left of the hill."])
    rows = np.arange(8)
    acts, vectors = discovery.without_training(tiny_llama, STORIES, 2, rows, neutral, 0.67)
    assert acts.shape == (8, 2, 32) and vectors.layers == [0, 1] and vectors.emotions == ["afraid", "calm"]
    own = discovery.pooled(tiny_llama, STORIES.texts, discovery.MeanFrom(2), [0, 1], progress=False)
    assert not np.allclose(acts, own, atol=0.1)
    monkeypatch.setattr(discovery, "TWICE", 1.0)
    assert discovery.without_training(tiny_llama, STORIES, 2, rows, neutral, 0.67) is None


def test_the_covariance_is_over_the_tokens_of_replies(tiny_llama):
    texts = ["Tell me. The rain fell on the roof all night.", "Say it. A letter came, and then two dogs."]
    replies = ["The rain fell on the roof all night.", "A letter came, and then two dogs."]
    found = discovery.neutral_covariance(tiny_llama, Neutral(texts, replies), [1])[0]
    rows = []
    for text, reply in zip(texts, replies):
        (start, end), acts = (
            discovery.spans_in_turn(tiny_llama, text, [reply])[0],
            discovery.per_token(tiny_llama, text, [1])[1],
        )
        rows.append(acts[start:end, 0])
    rows = np.concatenate(rows).astype(float)
    assert np.allclose(found, np.cov(rows.T, bias=True), atol=1e-3)


def test_readers_of_words(tiny_llama):
    """Both name a text by its words; the labels of texts that share none are guesses."""
    train = ["dog dog hill", "lake still lake", "hill dog", "still lake"], ["afraid", "calm", "afraid", "calm"]
    for reader in (word_baselines.BagReader(tiny_llama, *train), word_baselines.TfidfReader(*train, check=train)):
        right = word_baselines.hits(reader, ["the dog", "the lake", "a hill"], ["afraid", "calm", "afraid"], (1,))[1]
        assert right.all() and reader.emotions == ["afraid", "calm"]


def test_the_gain_over_words_is_over_the_best_of_them():
    yes, no = np.ones(40, bool), np.zeros(40, bool)
    assert word_baselines.beyond(yes, {"a": no, "b": yes}) == (0, 0, 0)
    assert word_baselines.beyond(yes, {"a": no, "b": no}) == (1, 1, 1)
    some = np.arange(40) < 10
    gain = word_baselines.beyond(some, {"a": no, "b": np.arange(40) < 6})
    assert gain.value == pytest.approx(0.1) and 0 <= gain.lo < 0.1 < gain.hi
