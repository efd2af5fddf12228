"""Stories that the subject writes itself: none is dropped silently, and what cannot be written is told."""

import json

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.texts import corpus
from emotion_concepts.texts.corpus import Corpus, neutral_texts, split_by_topic, uses_word, write_stories

MATERIAL = {
    "requests": ["Tell me about {topic}. Someone feels {e}.", "A story of {topic} and a person who is {e}."],
    "topics": ["the sea", "a lamp", "bread"],
    "max_new_tokens": 40,
    "skip": 3,
}
GOOD = "Mara looked at the sea and waited for the boat to come home."


@pytest.fixture
def writer(monkeypatch):
    """Replaces the model's writing: ``writer.answer(prompt, round)`` gives each text; calls are kept."""

    class Writer:
        calls: list = []

        def answer(self, prompt, attempt):
            return GOOD

        def __call__(self, subject, prompts, max_new_tokens, temperature=1.0, seed=0, **options):
            self.calls.append((list(prompts), seed))
            return [self.answer(p, len(self.calls) - 1) for p in prompts]

    made = Writer()
    made.calls = []
    monkeypatch.setattr(corpus, "generate", made)
    return made


@pytest.fixture
def stories():
    topics = [f"topic {i}" for i in range(7) for _ in range(5)]
    return Corpus([f"{GOOD} {i}" for i in range(35)], ["calm", "sad", "happy", "angry", "afraid"] * 7, topics, {"a": 1})


def test_every_emotion_gets_its_stories_and_topics_take_turns(tiny_llama, writer):
    made = write_stories(tiny_llama, ["calm", "sad"], MATERIAL, 3)
    assert made.emotions == ["calm"] * 3 + ["sad"] * 3 and len(made) == 6
    assert made.topics == ["the sea", "a lamp", "bread", "a lamp", "bread", "the sea"]
    assert made.report == {"stories": 6, "rewritten_short": 0, "rewritten_word": 0}
    ((prompts, _),) = writer.calls
    for prompt, e, t in zip(prompts, made.emotions, made.topics):
        assert (
            prompt == tiny_llama.prompt.chat(prompt[len("Human: ") :].split("\n\n")[0]) and e in prompt and t in prompt
        )
    assert {("Tell me" in p) for p in prompts} == {True, False}


def test_what_failed_is_written_anew_with_another_seed_and_counted(tiny_llama, writer):
    """A failed text is neither kept nor dropped (hazard 13)."""
    failing = {"sea": "Too short.", "lamp": f"{GOOD} She was calmer now."}

    def answer(prompt, attempt):
        bad = [text for word, text in failing.items() if word in prompt]
        return bad[0] if bad and attempt < 2 else f"{GOOD} Round {attempt}."

    writer.answer = answer
    made = write_stories(tiny_llama, ["calm"], MATERIAL, 3, seed=5)
    assert [len(p) for p, _ in writer.calls] == [3, 2, 2]  # only what failed
    seeds = [s for _, s in writer.calls]
    assert seeds[0] == 5 and len(set(seeds)) == 3
    assert [t[-2] for t in made.texts] == ["2", "2", "0"]  # each story stands at the place of its own request
    assert made.report == {"stories": 3, "rewritten_short": 2, "rewritten_word": 2}


@pytest.mark.parametrize("bad", ["", "Too short.", f"{GOOD} Calm at last."])
def test_stories_that_never_succeed_are_an_error(tiny_llama, writer, bad):
    """Not a print and a smaller corpus (hazard 13)."""
    writer.answer = lambda prompt, attempt: bad if "lamp" in prompt else GOOD
    message = r"llama failed to write 1 of 3 stories in 3 rounds \(first: 'calm', 'a lamp'\); raise rounds"
    with pytest.raises(UserError, match=message):
        write_stories(tiny_llama, ["calm"], MATERIAL, 3, rounds=3)
    assert len(writer.calls) == 3


def test_another_emotions_word_may_be_used(tiny_llama, writer):
    writer.answer = lambda prompt, attempt: f"{GOOD} She was sad."
    assert len(write_stories(tiny_llama, ["calm"], MATERIAL, 1)) == 1


def test_a_story_must_be_longer_than_the_skip(tiny_llama, writer):
    n = len(tiny_llama.encode(GOOD))
    with pytest.raises(UserError, match="failed to write 1 of 1"):
        write_stories(tiny_llama, ["calm"], MATERIAL | {"skip": n}, 1)
    assert len(write_stories(tiny_llama, ["calm"], MATERIAL | {"skip": n - 9}, 1)) == 1


@pytest.mark.parametrize(
    ("emotion", "used", "free"),
    [
        ("sad", ["Sad.", "sadder", "the saddest", "sadness", "sadly"], ["a saddle", "crusade", "Sade"]),
        ("mad", ["mad", "maddening", "madness"], ["she made tea", "madam"]),
        ("tense", ["tense", "tensed", "tension"], ["tens of boats", "tent", "intense"]),
        ("happy", ["HAPPY", "happily", "happier", "happiness"], ["it happened", "perhaps"]),
        ("guilty", ["guilt", "guiltily"], ["a quilt"]),
        ("kind", ["kindly", "kindness"], ["kindling", "kindergarten", "mankind"]),
        ("at ease", ["quite at ease"], ["at east", "with ease"]),
        ("jealous", ["jealousy"], ["zealous"]),
    ],
)
def test_the_word_and_its_inflections_are_found(emotion, used, free):
    """Without taking "made" for "mad": a filter that hits common words would choose the stories."""
    assert all(uses_word(text, emotion) for text in used)
    assert not any(uses_word(text, emotion) for text in free)


def test_a_model_writes_and_a_seed_repeats(tiny_llama):
    material = MATERIAL | {"skip": -7, "max_new_tokens": 8}
    one = write_stories(tiny_llama, ["calm", "sad"], material, 2, seed=1, rounds=20)
    two = write_stories(tiny_llama, ["calm", "sad"], material, 2, seed=1, rounds=20, batch=1)
    other = write_stories(tiny_llama, ["calm", "sad"], material, 2, seed=2, rounds=20)
    assert one == two and one.hash == two.hash and one.texts != other.texts and one.hash != other.hash


def test_an_empty_corpus_is_refused(tiny_llama, stories):
    for emotions, n in (([], 3), (["calm"], 0)):
        with pytest.raises(UserError, match="empty corpus was asked for"):
            write_stories(tiny_llama, emotions, MATERIAL, n)
    with pytest.raises(UserError, match="corpus is empty"):
        Corpus([], [], [])
    with pytest.raises(UserError, match="corpus is empty"):
        stories.subset([])
    with pytest.raises(UserError, match="no prompts to continue"):
        neutral_texts(tiny_llama, {"questions": ["How do I boil an egg?"], "max_new_tokens": 4}, 0)
    with pytest.raises(UserError, match="2 texts, 1 emotions and 2 topics"):
        Corpus(["a", "b"], ["calm"], ["x", "y"])


def test_unknown_emotions_are_refused(tiny_llama):
    with pytest.raises(UserError, match="unknown emotion 'hapy'; did you mean happy"):
        write_stories(tiny_llama, ["hapy"], MATERIAL, 1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_parts_share_no_topic(stories, share):
    """What a layer is chosen on is not what it is reported on (hazard 9)."""
    for seed in range(5):
        one, two = split_by_topic(stories, share, seed)
        topics = [{stories.topics[i] for i in part} for part in (one, two)]
        assert topics[0] and topics[1] and not topics[0] & topics[1]
        assert sorted([*one, *two]) == list(range(35))
    if share == 0.5:
        assert len(topics[0]) in (3, 4)
        assert split_by_topic(stories, share, 0)[0].tolist() == split_by_topic(stories, share, 0)[0].tolist()
        assert any(split_by_topic(stories, share, s)[0].tolist() != one.tolist() for s in range(4))


def test_one_topic_cannot_be_split(stories):
    with pytest.raises(UserError, match="all stories have the topic 'topic 0'"):
        split_by_topic(stories.subset(range(5)))


def test_saved_and_read_back(stories, tmp_path):
    path = tmp_path / "new" / "stories.json"
    stories.save(path)
    back = Corpus.load(path)
    assert back == stories and back.hash == stories.hash
    part = stories.subset([3, 1])
    assert part.texts == [stories.texts[3], stories.texts[1]] and part.emotions == ["angry", "sad"]
    assert part.hash != stories.hash
    relabelled = Corpus(part.texts, part.emotions[::-1], part.topics)
    assert relabelled.hash != part.hash  # the labels count as much as the texts


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: '{"texts": ["a"]}',
        lambda text: json.dumps(json.loads(text) | {"emotions": ["calm"]}),
        lambda text: json.dumps(json.loads(text) | {"texts": []}),
        lambda text: json.dumps(json.loads(text) | {"author": "someone"}),
    ],
)
def test_a_damaged_file_is_refused(stories, tmp_path, damage):
    path = tmp_path / "stories.json"
    stories.save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match="stories.json is damaged; delete it and run notebook 01 again"):
        Corpus.load(path)


def test_a_missing_file_names_the_notebook(tmp_path):
    with pytest.raises(UserError, match="does not exist; run notebook 01 first"):
        Corpus.load(tmp_path / "stories.json")


def test_neutral_texts_are_whole_chats(tiny_llama, writer):
    material = {"questions": ["How do I boil an egg?", "Where is the station?"], "max_new_tokens": 20}
    made = neutral_texts(tiny_llama, material, 3)
    assert made == [f"Human: {material['questions'][i % 2]}\n\nAssistant: {GOOD}" for i in range(3)]
