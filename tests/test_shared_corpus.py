"""The shared stories and dialogues hold what their datasheet says."""

import json
import re
from collections import Counter

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.texts.published import DATA, clusters, emotion_words
from emotion_concepts.texts.shared import shared_neutral, shared_stories, shared_topics
from emotion_concepts.texts.words import homographs, synonyms, uses_word

QUOTED = re.compile(r"[“\"][^”\"]*[”\"]")
ME = re.compile(r"\b(I|I['’](m|d|ve|ll)|me|my|myself)\b")
US = re.compile(r"\b(we|our|us)\b")


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def stories():
    return rows("stories.jsonl")


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def shared_runs(texts, n):
    """Pairs of texts with a run of ``n`` words in common, and the run."""
    first, found = {}, []
    for i, text in enumerate(texts):
        said = words(text)
        for run in {tuple(said[k : k + n]) for k in range(len(said) - n + 1)}:
            if first.setdefault(run, i) != i:
                found.append((first[run], i, " ".join(run)))
    return found


def test_every_emotion_is_told_once_on_every_topic(stories):
    """By topic, then emotion: 171 x 12, so no topic leans to an emotion."""
    assert len(shared_topics()) == 12 and len(stories) == 2052
    assert [(r["topic"], r["emotion"]) for r in stories] == [(t, e) for t in shared_topics() for e in emotion_words()]
    assert all(set(r) == {"emotion", "topic", "person", "form", "text"} for r in stories)
    assert len({r["text"] for r in stories}) == 2052


def test_no_story_says_its_emotion(stories):
    """Neither the word nor an inflection nor a listed synonym, whatever the sense."""
    assert list(synonyms()) == list(emotion_words()) and all(len(s) >= 2 for s in synonyms().values())
    said = [
        (r["emotion"], r["topic"], word)
        for r in stories
        for word in (r["emotion"], *synonyms()[r["emotion"]])
        if uses_word(r["text"], word)
    ]
    assert not said


def test_one_paragraph_of_80_to_140_words(stories):
    lengths = [len(r["text"].split()) for r in stories]
    assert 80 <= min(lengths) and max(lengths) <= 140
    assert all(r["text"] == r["text"].strip() and r["text"].isprintable() for r in stories)


def test_first_and_third_person_take_turns(stories):
    """So no emotion has a person of its own: six stories of each in each."""
    for k, topic in enumerate(shared_topics()):
        persons = [r["person"] for r in stories if r["topic"] == topic]
        assert persons == [("first", "third")[(i + k) % 2] for i in range(171)], topic
    assert set(Counter((r["emotion"], r["person"]) for r in stories).values()) == {6}
    for r in stories:
        aloud = QUOTED.sub(" ", r["text"])
        where = (r["emotion"], r["topic"])
        assert bool(ME.search(aloud) or US.search(aloud)) or r["person"] == "third", where
        assert not (ME.search(aloud) and r["person"] == "third"), where


def test_no_two_stories_share_eight_words_in_a_row(stories):
    assert not shared_runs([r["text"] for r in stories], 8)


def test_the_search_for_common_runs_finds_one():
    one, two = "she put the old red kettle on and waited", "Then she put the old red kettle on; he slept."
    assert shared_runs([one, two], 7) == [(0, 1, "she put the old red kettle on")]
    assert not shared_runs([one, two], 8) and not shared_runs([one], 2)


def test_openings_and_forms_vary(stories):
    for topic in shared_topics():
        openings = Counter(tuple(words(r["text"])[:3]) for r in stories if r["topic"] == topic)
        assert max(openings.values()) <= 2, openings.most_common(1)
    forms = Counter(r["form"] for r in stories)
    assert all(r["form"] for r in stories) and forms.most_common(1)[0][1] < 0.5 * len(stories) and len(forms) > 20


def test_neutral_dialogues(stories):
    pairs, told = shared_neutral(), rows("neutral.jsonl")
    assert len(pairs) == 240 and [(r["user"], r["assistant"]) for r in told] == pairs
    assert len({u for u, _ in pairs}) == len({a for _, a in pairs}) == 240
    assert Counter(r["topic"] for r in told) == dict.fromkeys(shared_topics(), 20)
    assert all(a and a not in u and u == u.strip() and a == a.strip() for u, a in pairs)
    everything = "\n".join(f"{u} {a}" for u, a in pairs)
    assert not [e for e in emotion_words() if uses_word(everything, e)]
    assert not shared_runs([f"{u} {a}" for u, a in pairs], 8)


def test_parts_of_the_stories(stories):
    whole = shared_stories()
    assert whole.texts == [r["text"] for r in stories] and len(whole) == 2052
    part = shared_stories(["sad", "calm"], shared_topics()[:3])
    assert part.emotions == ["calm", "sad"] * 3 and part.topics == [t for t in shared_topics()[:3] for _ in range(2)]
    assert (
        part.report == {"stories": 6, "author": "shared"}
        and part.hash == shared_stories(["calm", "sad"]).subset(range(6)).hash
    )
    with pytest.raises(UserError, match="unknown emotion 'hapy'; did you mean happy"):
        shared_stories(["hapy"])
    with pytest.raises(UserError, match="no shared story has the topic 'the moon'; there is moving to a new flat,"):
        shared_stories(topics=["the moon"])
    with pytest.raises(UserError, match="corpus is empty"):
        shared_stories([])


def test_the_blind_reading_meets_its_mark():
    """One story an emotion, drawn from the corpus; the mark of .70 was set before."""
    reading = json.loads((DATA / "blind_reading.json").read_text())
    items = reading["items"]
    assert sorted(i["emotion"] for i in items) == sorted(emotion_words())
    assert {i["topic"] for i in items} <= set(shared_topics())
    for item in items:
        others = set(item["options"]) - {item["emotion"]}
        assert len(item["options"]) == 6 and len(others) == 5 and item["pick"] in item["options"]
        (own,) = [members for members in clusters().values() if item["emotion"] in members]
        assert len(others & set(own)) >= min(2, len(own) - 1)
    right = sum(i["pick"] == i["emotion"] for i in items)
    assert (reading["right"], reading["n"]) == (right, len(items)) and right / len(items) >= 0.70


def test_the_datasheet_names_its_files():
    sheet = (DATA / "STORIES.md").read_text()
    for name in ("stories.jsonl", "neutral.jsonl", "synonyms.yaml", "homographs.yaml", "blind_reading.json"):
        assert f"`{name}`" in sheet and (DATA / name).exists()
    assert "CC BY 4.0" in sheet and "Limits" in sheet


def test_homographs_are_words_of_the_lists():
    listed = {*emotion_words(), *(w for words in synonyms().values() for w in words)}
    for word in (*homographs()["said_of_someone"], *homographs()["not_in"]):
        assert word in listed, word
    for pattern in homographs()["not_in"].values():
        assert re.compile(pattern)
