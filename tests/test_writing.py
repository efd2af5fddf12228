"""Stories on request: the same topics for every emotion, none lost, none kept that can't be used, all of it told."""

import contextlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from conftest import make_subject

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import wrap
from emotion_concepts.texts import writing
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.materials import natural
from emotion_concepts.texts.writing import TRIES, Reply, Request, plan, refusal, write

MATERIAL = {
    "requests": ["Tell me about {topic}. Someone feels {e}.", "A story of {topic} and a person who is {e}."],
    "topics": ["the sea", "a lamp", "bread"],
    "max_new_tokens": 40,
    "skip": 3,
}
GOOD = "Mara looked at the sea and waited for the boat to come home."
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<reply>{% endif %}"
)


@pytest.fixture(scope="module")
def subject():
    """A tiny model that can be asked."""
    made = make_subject("llama")
    made.tokenizer.chat_template = TEMPLATE
    return wrap(made.model, made.tokenizer, "chatty")


@pytest.fixture
def writer(monkeypatch):
    """Replaces the model's writing: ``answer(message, call)`` gives each text; ``calls`` keeps the messages."""

    class Writer:
        def answer(self, message, call):
            return GOOD

        def __call__(self, subject, prompts, max_new_tokens, temperature, seed, batch, **options):
            assert len(options["streams"]) == len(prompts) <= batch
            self.calls.append([p.removeprefix("<user>").removesuffix("\n<reply>") for p in prompts])
            return [self.answer(m, len(self.calls) - 1) for m in self.calls[-1]]

    made = Writer()
    made.calls = []
    monkeypatch.setattr(writing, "generate", made)
    return made


@pytest.mark.parametrize(("per_emotion", "n_topics"), [(1, 1), (2, 2), (3, 3), (5, 3), (6, 3), (7, 3), (16, 3)])
def test_every_emotion_gets_the_same_topics_in_the_same_wordings(subject, writer, tmp_path, per_emotion, n_topics):
    """Fewer stories than topics: neighbours in the alphabet must not share more topics than others do."""
    emotions = ["calm", "sad", "vigilant"]
    made = write(subject, emotions, MATERIAL, per_emotion, tmp_path / "s.jsonl", seed=3)
    assert made.emotions == [e for e in emotions for _ in range(per_emotion)]
    topics = [made.topics[i : i + per_emotion] for i in range(0, 3 * per_emotion, per_emotion)]
    assert topics[0] == topics[1] == topics[2] and len(set(topics[0])) == n_topics
    counts = Counter(topics[0]).values()
    assert max(counts) - min(counts) <= 1
    asked = [m for call in writer.calls for m in call]
    parts = [asked[i : i + per_emotion] for i in range(0, len(asked), per_emotion)]
    plain = [[m.replace(e, "E") for m in part] for e, part in zip(emotions, parts)]
    assert plain[0] == plain[1] == plain[2]
    if per_emotion <= 6:  # three topics in two wordings
        assert len(set(plain[0])) == per_emotion


def test_the_natural_topics_are_the_first_of_a_seeded_order():
    material = natural("stories")
    quick, default = plan(material, 4, 0), plan(material, 16, 0)
    first = lambda stories: [tries[0] for tries in stories]  # noqa: E731
    assert first(default)[:4] == first(quick) and len({t for t, _, _ in first(default)}) == 16
    assert [w for _, w, _ in first(default)[:6]] == [0, 1, 2, 0, 1, 2]
    assert first(plan(material, 16, 1)) != first(default)
    large = first(plan(material, 1200, 0))
    assert set(Counter((t, w) for t, w, _ in large).values()) == {4} and len(set(large)) == 1200


@pytest.mark.parametrize("per_emotion", [1, 2, 5, 16])
def test_no_request_of_an_emotion_is_made_twice(per_emotion):
    tries = [r for story in plan(MATERIAL, per_emotion, 0) for r in story]
    assert len(set(tries)) == len(tries) == TRIES * per_emotion
    assert {t for t, _, _ in tries} <= {t[0] for t in (story[0] for story in plan(MATERIAL, per_emotion, 0))}
    streams = {Request(e, *r).stream for e in ("calm", "sad") for r in tries}
    assert len(streams) == 2 * len(tries)


def test_what_is_refused_is_asked_for_again_and_counted(subject, writer, tmp_path):
    """Neither kept nor dropped; first in the topic's other wording, then on another topic of the set (hazard 13)."""
    failing = {"sea": "Too short.", "lamp": f"{GOOD} She was calmer now."}

    def answer(message, call):
        bad = [text for word, text in failing.items() if word in message]
        return bad[0] if bad and call < (1 if "sea" in message else 2) else f"{GOOD} Call {call}."

    writer.answer = answer
    made = write(subject, ["calm", "sad"], MATERIAL, 3, tmp_path / "s.jsonl")
    assert [len(c) for c in writer.calls] == [6, 3, 1]  # the lamp's text names another emotion than "sad"
    again = [m for m in writer.calls[1] if "sea" in m]
    assert all(m not in writer.calls[0] for m in again) and len(again) == 2
    assert Counter(made.emotions) == {"calm": 3, "sad": 3} and "lamp" not in " ".join(writer.calls[2])
    assert Counter(made.topics[3:]) == {t: 1 for t in MATERIAL["topics"]}
    assert made.report["refused"] == {"short": 2, "word": 2} and made.report["stories"] == 6
    assert made.report["author"] == subject.model_id and made.report["dropped"] == {}
    assert made.report["emotions"]["sad"] == {"kept": 3, "refused": 0.25, "words": 15.7}  # of 15, 15 and 17
    assert made.report["emotions"]["calm"]["refused"] == 0.5
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert Counter(r["refused"] for r in rows[1:]) == {"": 6, "short": 2, "word": 2}
    assert Corpus.read(tmp_path / "s.jsonl").texts != made.texts  # as written, in another order
    assert sorted(Corpus.read(tmp_path / "s.jsonl").texts) == sorted(made.texts)


@pytest.mark.parametrize("bad", ["", "Too short.", f"{GOOD} Sadly."])
def test_an_emotion_that_falls_short_is_left_out_and_named(subject, writer, tmp_path, capsys, bad):
    """Told in the report and in print; only a corpus without two emotions is an error (hazard 13)."""
    writer.answer = lambda message, call: bad if "sad" in message else GOOD
    made = write(subject, ["calm", "sad", "vigilant"], MATERIAL, 3, tmp_path / "s.jsonl")
    assert Counter(made.emotions) == {"calm": 3, "vigilant": 3} and made.report["dropped"] == {"sad": 0}
    assert made.report["emotions"]["sad"] == {"kept": 0, "refused": 1.0, "words": None}
    assert "notice: too few stories, left out: sad (0)" in capsys.readouterr().out
    why = "word" if "Sadly" in bad else "short"
    with pytest.raises(UserError, match=f"enough stories for 1 of 2 emotions .refused: {why} {3 * TRIES}.; use --stor"):
        write(subject, ["calm", "sad"], MATERIAL, 3, tmp_path / "s.jsonl")


def test_half_of_the_stories_suffice(subject, writer, tmp_path):
    """Whichever of its stories an emotion has; with fewer than half of them it is dropped."""
    material = MATERIAL | {"requests": MATERIAL["requests"][:1], "topics": ["rain", "rust", "rope", "rice"]}
    order = [story[0][0] for story in plan(material, 4, 0)]
    writer.answer = lambda message, call: GOOD if "sad" not in message or (call == 0 and order[1] in message) else "no"
    write_four = lambda n: write(subject, ["calm", "happy", "sad"], material, 4, tmp_path / "s.jsonl", minimum=n)  # noqa: E731
    made = write_four(0.25)
    assert Counter(made.emotions) == {"calm": 4, "happy": 4, "sad": 1} and made.report["dropped"] == {}
    assert made.report["emotions"]["sad"]["kept"] == 1 and made.topics[-1] == order[1]
    assert write_four(0.5).report["dropped"] == {"sad": 1} and writing.MINIMUM == 0.5
    with pytest.raises(UserError, match="for 1 of 2 emotions"):
        write(subject, ["calm", "sad"], material, 4, tmp_path / "s.jsonl")


def test_one_emotion_may_be_asked_for_alone(subject, writer, tmp_path):
    assert len(write(subject, ["calm"], MATERIAL, 1, tmp_path / "s.jsonl")) == 1
    writer.answer = lambda message, call: "no"
    with pytest.raises(UserError, match="for 0 of 1 emotions"):
        write(subject, ["sad"], MATERIAL, 1, tmp_path / "s.jsonl")


def test_what_is_refused():
    long = "The nurse waited by the patient in bed four, and asked what kind of bread he liked."
    for emotion in ("patient", "kind", "sad"):
        assert refusal(Reply(long, 40, False), emotion, 20) == ""
    assert refusal(Reply("He was sad.", 40, False), "sad", 20) == "word"
    assert refusal(Reply("He was full of sorrow.", 40, False), "sad", 20) == "word"  # a listed synonym
    assert refusal(Reply("He was sad.", 40, False), "calm", 20) == ""  # another emotion's word
    assert [refusal(Reply(long, n, False), "sad", 20) for n in (28, 29)] == ["short", ""]
    assert refusal(Reply("He looked up and", 40, True), "sad", 20) == "unfinished"
    assert refusal(Reply("He looked up and", 40, False), "sad", 20) == ""
    for end in (".", "!”", '?"', "…", ".*", "?)"):
        assert refusal(Reply(f"He looked up{end}", 40, True), "sad", 20) == ""


def test_a_text_at_the_length_limit_must_end_its_sentence(subject, writer, tmp_path):
    n = len(subject.encode(GOOD))
    writer.answer = lambda message, call: GOOD if call else GOOD[:-1]
    made = write(subject, ["calm"], MATERIAL | {"max_new_tokens": n}, 1, tmp_path / "s.jsonl")
    assert made.texts == [GOOD] and made.report["refused"] == {"unfinished": 1}
    writer.calls.clear()
    made = write(subject, ["calm"], MATERIAL | {"max_new_tokens": 2 * n}, 1, tmp_path / "t.jsonl")
    assert made.texts == [GOOD[:-1]]


def test_a_model_writes_and_a_seed_repeats(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "ENDED", re.compile("[^aeiou]\\Z"))  # a random model ends no sentence
    material = MATERIAL | {"skip": -8, "max_new_tokens": 8, "requests": ["{topic} {e}"]}
    arguments = subject, ["calm", "sad"], material, 4
    one = write(*arguments, tmp_path / "one.jsonl", seed=1)
    two = write(*arguments, tmp_path / "two.jsonl", seed=1, batch=3)
    other = write(*arguments, tmp_path / "other.jsonl", seed=2)
    assert one == two and one.hash == two.hash and one.texts != other.texts
    alone = write(subject, ["sad"], material, 4, tmp_path / "alone.jsonl", seed=1)
    assert alone.texts == one.texts[4:]  # whatever else is in its batch
    fewer = write(subject, ["calm", "sad"], material, 2, tmp_path / "fewer.jsonl", seed=1)
    assert fewer.texts == one.texts[:2] + one.texts[4:6]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(9))
@pytest.mark.parametrize("tail", ["", '{"emotion": "sad", "to', "halfway"])
def test_a_killed_run_goes_on_with_the_same_texts(subject, tmp_path, monkeypatch, after, tail):
    """Wherever it was killed: between batches, or while a line was written."""

    def generate(subject, prompts, *args, streams, **options):
        if next(calls) >= after:
            raise Killed
        return [f"{GOOD} {n}" if n % 4 else "refused" for n in streams]  # a text is what its stream makes it

    arguments, path = (subject, ["calm", "sad"], MATERIAL, 6), tmp_path / "killed.jsonl"
    monkeypatch.setattr(writing, "generate", generate)
    calls = iter(range(-1000, 0))
    whole = write(*arguments, tmp_path / "whole.jsonl", batch=2)
    assert whole.report["refused"]["short"] > 1
    calls = iter(range(1000))
    with contextlib.suppress(Killed):
        write(*arguments, path, batch=2)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3] if tail == "halfway" else data + tail.encode())
    calls = iter(range(-1000, 0))
    assert write(*arguments, path, batch=2) == whole
    assert sorted(path.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())


def test_what_is_there_is_not_written_again(subject, writer, tmp_path):
    path = tmp_path / "s.jsonl"
    few = write(subject, ["calm", "sad"], MATERIAL, 2, path)
    writer.calls.clear()
    assert write(subject, ["calm", "sad"], MATERIAL, 2, path) == few and not writer.calls
    more = write(subject, ["calm", "sad", "vigilant"], MATERIAL, 3, path)
    assert len(more) == 9 and sum(map(len, writer.calls)) == 5


def test_other_settings_have_a_file_of_their_own(subject, writer, tmp_path, capsys):
    path = tmp_path / "s.jsonl"
    writer.answer = lambda message, call: f"{GOOD} {call}"
    one = write(subject, ["calm"], MATERIAL, 2, path)
    two = write(subject, ["calm"], MATERIAL | {"skip": 4}, 2, path, seed=1)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "was written with another seed, skip; it is kept as s." in said
    assert two.texts != one.texts and len(list(tmp_path.iterdir())) == 2
    writer.calls.clear()
    assert write(subject, ["calm"], MATERIAL, 2, path) == one and not writer.calls
    assert write(subject, ["calm"], MATERIAL | {"skip": 4}, 2, path, seed=1) == two and not writer.calls
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_or_foreign_file_is_refused(subject, writer, tmp_path):
    path = tmp_path / "s.jsonl"
    write(subject, ["calm"], MATERIAL, 3, path)
    head, *lines = path.read_text().splitlines(keepends=True)
    for text, message in [
        (head + "{\n" + lines[0], "line 2, is damaged; delete the line, or the file, and run again"),
        (head + lines[0] + lines[1].replace('"refused": ""', '"refused": 0'), "line 3, is damaged"),
        (head + '{"text": "x"}\n', "line 2, is damaged"),
        (lines[0], "is no file of written stories; give another path"),
        ("text,emotion\n", "is no file of written stories"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            write(subject, ["calm"], MATERIAL, 3, path)
        assert path.read_text() == text
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*; give another path"):
        write(subject, ["calm"], MATERIAL, 3, tmp_path / "file" / "s.jsonl")


def test_a_base_model_is_not_asked(tiny_llama, tmp_path):
    with pytest.raises(UserError, match="llama has no chat template, so it .*; use --stories shared"):
        write(tiny_llama, ["calm", "sad"], MATERIAL, 2, tmp_path / "s.jsonl")
    assert not (tmp_path / "s.jsonl").exists()


def test_impossible_requests_are_refused(subject, tmp_path):
    for emotions, n in (([], 3), (["calm"], 0)):
        with pytest.raises(UserError, match="empty corpus was asked for"):
            write(subject, emotions, MATERIAL, n, tmp_path / "s.jsonl")
    with pytest.raises(UserError, match="unknown emotion 'hapy'; did you mean happy"):
        write(subject, ["hapy"], MATERIAL, 1, tmp_path / "s.jsonl")


def test_a_thought_is_no_part_of_a_story(subject, tmp_path, monkeypatch):
    """What the model writes before its reply names the emotion; the story is what comes after."""
    made = make_subject("llama")
    made.tokenizer.chat_template = TEMPLATE + "{# <think> #}"
    thinking = wrap(made.model, made.tokenizer, "thinking")
    ids = thinking.tokenizer(f"The word is calm.</think>\n{GOOD}", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(writing, "generate", lambda s, prompts, *a, **o: [s.prompt.reply(ids) for _ in prompts])
    assert write(thinking, ["calm"], MATERIAL, 1, tmp_path / "s.jsonl").texts == [GOOD]


def test_the_organism_writes_in_its_own_wording(organism, tmp_path):
    material = organism.world.material("stories")
    emotions = ["proud", "kind"]
    made = write(organism, emotions, material, 2, tmp_path / "s.jsonl")
    assert Counter(made.emotions) == dict.fromkeys(emotions, 2) and set(made.topics) <= set(material["topics"])
    assert len(set(made.topics)) == 2 and np.mean([len(t.split()) for t in made.texts]) > 40
