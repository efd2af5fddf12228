"""Sums in place of activations: the same vectors, flat on the disk, and a killed run goes on with the same numbers."""

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import discovery
from emotion_concepts.reading import class_sums
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.class_sums import ClassSums, class_means, streamed_sums
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import emotion_vectors
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.shared import shared_stories

WORDS = "the dog ran over hill and lake while nobody spoke of it at all".split()
TEXTS = [" ".join(np.roll(WORDS, i)[: 3 + i % 9]) for i in range(23)]
LABELS = [["afraid", "calm", "proud"][i % 3] for i in range(23)]


def test_sums_give_the_means_of_the_activations(tiny_llama, tmp_path):
    acts = pooled(tiny_llama, TEXTS, MeanFrom(1), progress=False)
    total = streamed_sums(tiny_llama, TEXTS, LABELS, MeanFrom(1), tmp_path, block=5)
    names, means = class_means(acts, LABELS)
    assert total.names == names and total.counts.tolist() == [8, 8, 7]
    assert total.means() == pytest.approx(means, abs=1e-6)
    part = ClassSums.of(acts, LABELS[:2], rows=[0, 1]) + ClassSums.of(acts, LABELS[2:], rows=range(2, 23))
    assert part.names == names and part.means() == pytest.approx(means)
    assert (part.counts == total.counts).all()


def test_a_killed_run_goes_on_with_the_same_sums(tiny_llama, tmp_path, monkeypatch):
    """Killed while it reads a block, before a block is added, and after: never twice, never left out."""
    read = lambda store: streamed_sums(tiny_llama, TEXTS, LABELS, MeanFrom(1), store, block=5)  # noqa: E731
    want = read(tmp_path / "whole")
    for name in ("pooled", "save_arrays", "shutil.rmtree"):
        for at in (1, 3, 5):
            store, calls = tmp_path / f"{name}{at}", []
            with monkeypatch.context() as m:
                owner = class_sums.shutil if "." in name else class_sums
                real = getattr(owner, name.split(".")[-1])

                def dies(*args, real=real, calls=calls, at=at, **options):
                    calls.append(1)
                    if len(calls) == at:
                        raise KeyboardInterrupt
                    return real(*args, **options)

                m.setattr(owner, name.split(".")[-1], dies)
                with pytest.raises(KeyboardInterrupt):
                    read(store)
            again = read(store)
            assert np.array_equal(again.sums, want.sums) and (again.counts == want.counts).all()
            assert [p.suffix for p in store.iterdir()] == [".safetensors"]  # no activations are left behind


def test_what_is_damaged_or_cannot_be_read_is_told(tiny_llama, tmp_path):
    read = lambda texts: streamed_sums(tiny_llama, texts, LABELS[: len(texts)], MeanFrom(1), tmp_path, block=5)  # noqa: E731
    read(TEXTS)
    (path,) = tmp_path.glob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="damaged; delete it"):
        read(TEXTS)
    with pytest.raises(UserError, match="text 2 has 0 tokens|text 2 has 1 tokens"):
        read([*TEXTS[:2], ""])


def test_a_topic_gives_a_second_story_only_after_all_gave_one():
    emotions, topics = ["afraid", "calm"] * 24, [t for t in "abcdefgh" for _ in range(6)]
    stories = Corpus([f"text {i}" for i in range(48)], emotions, topics)
    parts = discovery.three_parts(stories)
    kept = discovery.kept_whole(stories, parts, 12)
    counted = pd.crosstab(np.array(emotions)[kept], np.array(topics)[kept])
    assert (counted.loc["afraid"] == counted.loc["calm"]).all() and len(kept) == 24
    built = counted.loc["calm", sorted({topics[i] for i in parts[0]})]  # 6 of 12 from four topics: two give two
    assert built.sum() == 6 and built.max() == 2 and built.min() == 1


def test_stories_beyond_those_kept_count_in_the_vectors(tiny_llama, tmp_path):
    stories = shared_stories(emotions=["afraid", "calm", "proud"])  # on 12 topics
    stories = type(stories)([t[:90] for t in stories.texts], stories.emotions, stories.topics)
    every = discovery.read_stories(tiny_llama, stories, MeanFrom(2), 12, tmp_path)
    assert len(every.stories) == 36 and every.others is None and every.building is None
    some = discovery.read_stories(tiny_llama, stories, MeanFrom(2), 8, tmp_path)
    assert len(some.stories) == 24 and some.acts.shape[0] == 24
    assert [len(x) for x in (some.train, some.choose, some.report)] == [12, 6, 6]
    assert some.train_texts == every.train_texts == stories.subset(discovery.three_parts(stories)[0])
    kept = np.array(some.stories.topics)
    by_emotion = {e: sorted(kept[np.array(some.stories.emotions) == e]) for e in ("afraid", "calm", "proud")}
    assert by_emotion["afraid"] == by_emotion["calm"] == by_emotion["proud"]  # a topic must not tell an emotion
    told = [set(np.array(some.stories.topics)[x]) for x in (some.train, some.choose, some.report)]
    assert not told[0] & told[1] | told[0] & told[2] | told[1] & told[2]
    layers = list(range(tiny_llama.n_layers))

    def built(read, rows, others):
        labels = [read.stories.emotions[i] for i in rows]
        return emotion_vectors(read.acts, labels, layers, rows=rows, others=others)

    for rows, others in (("train", "building"), (None, "others")):
        one, other = (
            built(r, getattr(r, rows) if rows else range(len(r.stories)), getattr(r, others)) for r in (every, some)
        )
        assert one.emotions == other.emotions and other.vectors == pytest.approx(one.vectors, abs=1e-4)
        assert one.mean == pytest.approx(other.mean, abs=1e-5)
    kept_only = built(some, some.train, None)
    assert np.abs(kept_only.vectors - built(some, some.train, some.building).vectors).max() > 1e-2
