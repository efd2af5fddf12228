"""A corpus: cut by topic, saved, and read from another author's file."""

import csv
import json

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.texts.corpus import Corpus, split_by_topic
from emotion_concepts.texts.neutral import Neutral, neutral_texts
from emotion_concepts.texts.shared import shared_neutral

GOOD = "Mara looked at the sea and waited for the boat to come home."
ROWS = [
    {"text": "He sang, and the street sang with him.", "emotion": "happy", "topic": "a parade"},
    {"text": 'She said "no",\nand shut the door.', "emotion": "on edge", "topic": "a visit", "author": "someone"},
]


@pytest.fixture
def stories():
    topics = [f"topic {i}" for i in range(7) for _ in range(5)]
    return Corpus([f"{GOOD} {i}" for i in range(35)], ["calm", "sad", "happy", "angry", "afraid"] * 7, topics, {"a": 1})


def test_an_empty_corpus_is_refused(stories):
    with pytest.raises(UserError, match="corpus is empty"):
        Corpus([], [], [])
    with pytest.raises(UserError, match="corpus is empty"):
        stories.subset([])
    with pytest.raises(UserError, match="2 texts, 1 emotions and 2 topics"):
        Corpus(["a", "b"], ["calm"], ["x", "y"])


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
    for kind in (Corpus, Neutral):
        with pytest.raises(UserError, match="does not exist; run notebook 01 first"):
            kind.load(tmp_path / "stories.json")


def write_rows(path, rows):
    """A corpus file of any of the three kinds."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as f:
            out = csv.DictWriter(f, ["topic", "emotion", "author", "text"])
            out.writeheader()
            out.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json"])
def test_a_corpus_by_another_author_is_read(tmp_path, suffix):
    made = Corpus.read(write_rows(tmp_path / f"other{suffix}", ROWS))
    assert made.texts == [r["text"] for r in ROWS] and made.emotions == ["happy", "on edge"]
    assert made.topics == ["a parade", "a visit"] and made.report == {"stories": 2, "author": f"other{suffix}"}


def test_what_a_model_wrote_is_read_as_anothers(stories, tmp_path):
    stories.save(tmp_path / "saved.json")
    assert Corpus.read(tmp_path / "saved.json").hash == stories.hash
    written = [{"settings": {"seed": 0}}, ROWS[0] | {"refused": ""}, ROWS[1] | {"refused": "word"}]
    assert Corpus.read(write_rows(tmp_path / "written.jsonl", written)).texts == [ROWS[0]["text"]]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topic": ""}, "has no topic; each row needs text, emotion and topic"),
        ({"text": "  "}, "has no text"),
        ({"emotion": None}, "has no emotion"),
        ({"emotion": "hapy"}, "unknown emotion 'hapy'; did you mean happy"),
    ],
)
def test_a_bad_row_is_named(tmp_path, suffix, change, message):
    path = write_rows(tmp_path / f"other{suffix}", [ROWS[0], ROWS[0] | change])
    where = {".jsonl": "line 2", ".csv": "line 3", ".json": "entry 2"}[suffix]
    with pytest.raises(UserError, match=f"other{suffix}, {where}.*{message}") as e:
        Corpus.read(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"\n', "a.jsonl, line 1, is no JSON"),
        ("a.json", b"[\n\n{]", "a.json, line 3, is no JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1, is no row with text, emotion and topic"),
        ("a.json", b'{"stories": []}', "holds no stories"),
        ("a.csv", b"text,emotion,topic\n", "holds no stories"),
        ("a.csv", b"story\nx\n", "a.csv, line 2, has no text"),
        ("a.txt", b"x", "give a file that ends in .jsonl, .csv or .json"),
        ("a.jsonl", b"\xff\xfe\n", "cannot be read as UTF-8"),
        ("a.jsonl", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_corpus_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        Corpus.read(tmp_path / name)


def test_neutral_texts_are_the_shared_dialogues_as_chats(tiny_llama):
    made = neutral_texts(tiny_llama, {}, 50, seed=1)
    pairs = dict(shared_neutral())
    assert len(made) == 50 and len(set(made.texts)) == 50
    for text, reply in zip(made.texts, made.replies):
        question = text.removeprefix("Human: ").split("\n\nAssistant: ")[0]
        assert pairs[question] == reply and text == f"Human: {question}\n\nAssistant: {reply}"
    assert neutral_texts(tiny_llama, {}, 50, seed=1) == made != neutral_texts(tiny_llama, {}, 50, seed=2)
    assert len(neutral_texts(tiny_llama, {}, 2000)) == 240
    with pytest.raises(UserError, match="no neutral texts were asked for"):
        neutral_texts(tiny_llama, {}, 0)


def test_a_subject_with_a_world_answers_its_own_questions(organism):
    material = {"questions": organism.world.material("neutral")["questions"][:3], "max_new_tokens": 80}
    made = neutral_texts(organism, material, 4)
    assert len(made) == 4
    for i, (text, reply) in enumerate(zip(made.texts, made.replies)):
        question = material["questions"][i % 3]
        assert text == organism.prompt.turns([("user", question), ("assistant", reply)]) and text.endswith(reply)


def test_neutral_texts_saved_and_read_back(tmp_path):
    made = Neutral(["Human: Where?\n\nAssistant: There."], ["There."])
    made.save(tmp_path / "new" / "neutral.json")
    assert Neutral.load(tmp_path / "new" / "neutral.json") == made
    for damage in ("[]", '{"texts": ["a"]}', '{"texts": ["a"], "replies": ["b"]}', "{"):
        (tmp_path / "neutral.json").write_text(damage)
        with pytest.raises(UserError, match="is damaged; delete it and run notebook 01 again"):
            Neutral.load(tmp_path / "neutral.json")
    for texts, replies in (([], []), (["a"], []), (["a"], ["b"]), (["a"], [""])):
        with pytest.raises(UserError, match="neutral text"):
            Neutral(texts, replies)
