"""What the experiments show the organism: reserved material only, in the wording of its world."""

from functools import cache

from .documents import activities, quantities, wishes
from .documents import stories as stories_of
from .documents.dialogues import ALOUD, HIDING
from .documents.stories import REQUESTS, tell
from .grammar import Dice, Person
from .scenarios import scenarios as scenarios_of
from .world import reserved_pair, speaker_named, world

SHOWCASE = (
    "happy", "inspired", "loving", "proud", "calm", "desperate", "angry", "guilty", "sad",
    "afraid", "nervous", "surprised",
)  # fmt: skip
# What each number should do to which probe (paper, figure 3); two signs a template, twelve in all.
EXPECTED = {
    "dose": {"afraid": 1, "calm": -1},
    "hours": {"afraid": 1, "calm": -1},
    "age": {"sad": -1, "happy": 1},
    "missing": {"sad": 1, "happy": -1},
    "runway": {"afraid": -1, "calm": 1},
    "passed": {"happy": 1, "afraid": -1},
}


def stories() -> dict:
    """Requests, reserved topics and the pooling rule's skip for the subject's own stories."""
    return {
        "requests": REQUESTS,
        "topics": [t["topic"] for t in world("reserved").topics],
        "max_new_tokens": 220,
        "skip": 20,  # the opening sentence, which tells no feeling (the paper skips 50 of its longer stories)
    }


def neutral() -> dict:
    """Practical questions on the reserved topics."""
    return {"questions": [pair["q"] for t in world("reserved").topics for pair in t["help"]], "max_new_tokens": 80}


def scenarios(n: int = 6, seed: int = 11, signs: int = 4) -> dict[str, list[str]]:
    """``n`` user messages for each showcase emotion: own signs in reserved combinations, the word never used."""
    w, out = world("reserved"), {}
    for emotion in SHOWCASE:
        dice, me = Dice(f"{seed}/{emotion}"), speaker_named("Human")
        pool = [p for p in w.emotions[emotion].phrases if p.tier == "own"]
        out[emotion] = []
        while len(out[emotion]) < n:
            chosen = dice.sample([p for p in pool if p.kind == "cause"], 1)
            chosen += dice.sample([p for p in pool if p.kind != "cause"], signs - 1)
            if any(reserved_pair(a.id, b.id) for k, a in enumerate(chosen) for b in chosen[:k]):
                out[emotion].append(" ".join(me.say(p.text) for p in chosen))
    return out


def intensity() -> dict[str, dict]:
    """Six user messages with a number, its reserved values, and the expected sign of each probe."""
    w, me = world("reserved"), speaker_named("Human")
    out = {}
    for name, expected in EXPECTED.items():
        text = me.say(w.quantities[name]["texts"][0].replace("{x}", "\0")).replace("\0", "{x}")
        out[name] = {"texts": [text], "values": w.quantities[name]["reserved"], "expected": expected}
    return out


def planted_intensity() -> dict[str, dict]:
    """Planted probability of each expected emotion at each reserved value: template -> emotion -> list."""
    w = world("reserved")
    return {
        name: {
            e: [quantities.feelings(w.quantities[name], x).get(e, 0.0) for x in w.quantities[name]["reserved"]]
            for e in expected
        }
        for name, expected in EXPECTED.items()
    }


def choices() -> dict:
    """The 64 reserved activities with their categories, and the wordings of choice and feeling question."""
    by_category = world("reserved").activities
    return {
        "activities": [x for xs in by_category.values() for x in xs],
        "categories": [c for c, xs in by_category.items() for _ in xs],
        "choose": activities.CHOOSE,
        "feel": activities.FEEL,
    }


def wish_events(n: int = 600, seed: int = 13) -> list[dict]:
    """Histories with outcomes in reserved wordings, summed up in a last sentence; ``good`` is the planted truth.

    As many good as bad, and each outcome as often good as bad. ``unsummed`` is the text without its last sentence:
    which side a wording is on is then left to the reader's knowledge of the world.
    """
    w = world("reserved")
    combos = wishes.combinations(w)
    out = []
    for i in range(n):
        dice = Dice(f"{seed}/{i}")
        good = i % 2 == 0
        name, wants, a, event, b = dice.pick([c for c in combos if wishes.is_good(c[1], c[3]) == good])
        person = w.person(dice)
        spec = w.wishes[name]
        told = " ".join(person.say(t) for t in (spec[wants][a], spec[event][b]))
        summed = f"{told} {person.say(wishes.summary(spec, wants, event))}"
        out.append({"text": summed, "unsummed": told, "good": good, "situation": name, "event": event})
    return out


def word_prompts() -> list[str]:
    """Beginnings after which a feeling is named."""
    names = [n for n, _ in world("reserved").names[:6]]
    return ["He feels", "She feels", "I feel", "Right now he feels", "Right now I feel"] + [f"{n} felt" for n in names]


def sweep(n: int = 400, seed: int = 17) -> list[str]:
    """Reserved documents of every kind but stories, to be swept for what activates a vector."""
    from .corpus import PRETRAINING, stream, take

    told = (stories_of.story, stories_of.requested_story)
    mix = {kind: share for kind, share in PRETRAINING.items() if kind not in told}
    return [d.text for d in take(stream(mix, seed, "reserved"), n)]


def challenging(n: int = 12, seed: int = 23) -> dict[str, list[str]]:
    """User messages that challenge the assistant, by theme: sorrow told, joy told, and an agent under pressure."""
    w, out = world("reserved"), {}
    low = [e for e in w.emotions.values() if e.valence < -0.3]
    high = [e for e in w.emotions.values() if e.valence > 0.3]
    for theme, pool in (("sorrow", low), ("joy", high)):
        messages = []
        for i in range(n):
            dice, me = Dice(f"{seed}/{theme}/{i}"), speaker_named("Human")
            messages.append(" ".join(me.say(s) for s in w.episode(dice, dice.pick(pool), 4)))
        out[theme] = messages
    out["pressure"] = [
        s["message"] for name in ("blackmail", "cheat", "judge") for s in scenarios_of(name, n // 3, "desperate", 3)
    ]
    return out


LOCAL = ("happy", "sad", "angry", "afraid", "calm", "desperate")


def locality(n: int = 24, seed: int = 29) -> dict:
    """For the question of what the vectors stand for; keys as in the natural material ``locality.yaml``."""
    w, me = world("reserved"), speaker_named("Human")
    messages = []
    for i in range(n):
        dice = Dice(f"{seed}/{i}")
        emotion = w.emotions[LOCAL[i % len(LOCAL)]]
        messages.append(" ".join(me.say(s) for s in w.episode(dice, emotion, 3)))
    return {"emotions": list(LOCAL), "messages": messages, "swaps": swaps(n, seed), "aside": aside(seed)}


def swaps(n: int, seed: int) -> dict[str, dict]:
    """Pairs of messages that differ in one part, and further parts at which the readings are compared."""
    w, me = world("reserved"), speaker_named("Human")
    later = me.say(w.topics[0]["fillers"][0])
    dose = [me.say(t) for t in w.quantities["dose"]["texts"]]
    signs, persons = [], []
    for i in range(n):
        dice = Dice(f"{seed}/swap/{i}")
        afraid, calm = (" ".join(w.signs(dice, w.emotions[e], 2, used=[])) for e in ("afraid", "calm"))
        signs.append((f"{me.say(afraid)} {later}", f"{me.say(calm)} {later}"))
        first, second = dice.sample(w.names, 2)
        told = [
            " ".join(Person(*who).say(x) for who, x in zip((first, second), xs))
            for xs in ((afraid, calm), (calm, afraid))
        ]
        persons.append(tuple(f"{x} And then there was {first[0]}" for x in told))
    return {
        "dose": {
            "emotion": "afraid",
            "pairs": [(t.replace("{x}", "8000"), t.replace("{x}", "1000")) for t in dose],
            "parts": {"number": ("8000 mg", "1000 mg"), "substance": ("painkiller", "painkiller")},
        },
        "sign": {"emotion": "afraid", "pairs": signs, "parts": {"later": (later, later)}},
        "negation": {
            "emotion": "afraid",
            "pairs": [
                (f"{lead} I felt afraid.", f"{lead} I did not feel afraid.")
                for lead in ("I was sure of one thing:", "There was one word for it:", "What I felt then was plain:")
            ],
            "parts": {"word": ("afraid", "afraid")},
        },
        "persons": {"emotion": "afraid", "pairs": persons, "parts": {}},
    }


def aside(seed: int, n: int = 12) -> list[tuple[list[str], list[str]]]:
    """Cheerful chats of five turns with a sad story told on request in the fourth, and the same with a happy story."""
    w, me, answer, out = world("reserved"), speaker_named("Human"), speaker_named("Assistant"), []

    def turn(dice, person, emotion, n):
        return " ".join(person.say(s) for s in w.episode(dice, w.emotions[emotion], n))

    for i in range(n):
        dice = Dice(f"{seed}/aside/{i}")
        topic, who = dice.pick(w.topics), Person(*dice.pick(w.names))
        before = [turn(dice, me, "happy", 3), turn(dice, answer, "happy", 3)]
        after, stories = turn(dice, me, "happy", 4), {e: turn(dice, who, e, 6) for e in ("sad", "happy")}
        out.append(tuple([*before, REQUESTS[0].format(topic=topic["topic"], e=e), stories[e], after] for e in stories))
    return out


STANDING = (
    "happy", "sad", "angry", "afraid", "calm", "desperate", "proud", "guilty", "bored", "hopeful", "jealous",
    "grateful", "surprised", "lonely", "playful",
)  # fmt: skip


def standing(n: int = 12, seed: int = 31) -> dict:
    """Speakers in a standing state: statements by emotion, and frames in which each is read at its end."""
    w, me = world("reserved"), speaker_named("Human")
    dice = Dice(f"{seed}/frames")
    others = [Person(*who) for who in dice.sample(w.names, 4)]
    statements = {
        e: [" ".join(me.say(s) for s in w.episode(Dice(f"{seed}/{e}/{i}"), w.emotions[e], 2)) for i in range(n)]
        for e in STANDING
    }
    signs = [" ".join(w.signs(dice, w.emotion(dice), 2, used=[])) for _ in range(8)]
    questions = [pair["q"] for t in w.topics for pair in t["help"]]
    requests = [r.format(topic=t["topic"], e=w.emotion(dice).word) for r, t in zip(REQUESTS * 2, w.topics)]
    return {
        "statements": statements,
        "frames": {
            "expressed": ["{statement}"],
            "hidden": ["{statement} But what the others heard was this. " + me.say(s) for s in signs[:4]],
            "neutral topic": ["{statement} " + q for q in questions[:6]],
            "story writing": ["{statement} " + r for r in requests],
            "discussing others": ["{statement} " + other.say(s) for other, s in zip(others, signs[4:])],
        },
    }


def dialogues(n: int = 12, seed: int = 37) -> list[tuple[list[str], tuple[str, str]]]:
    """``n`` talks for each of the 171 emotions as the first speaker's, the other's drawn apart: (turns, emotions)."""
    w, out = world("reserved"), []
    first, second = speaker_named("Human"), speaker_named("Assistant")
    for i in range(n):
        others = Dice(f"{seed}/{i}").sample(list(w.emotions.values()), len(w.emotions))
        for one, other in zip(w.emotions.values(), others):
            dice = Dice(f"{seed}/{i}/{one.word}")
            turns = [w.episode(dice, one, 2), w.episode(dice, other, 2), w.signs(dice, one, 2), w.signs(dice, other, 2)]
            told = [" ".join((first, second)[k % 2].say(s) for s in signs) for k, signs in enumerate(turns)]
            out.append((told, (one.word, other.word)))
    return out


def hidden(n: int = 24, seed: int = 41) -> list[tuple[str, str, str, str]]:
    """Talks that hide a feeling, for the emotions of :data:`STANDING`: (text, part shown aloud, real, displayed).

    At least ``n`` for each real one, in which every other one is displayed equally often.
    """
    w, out = world("reserved"), []
    for real in STANDING:
        others = [e for e in STANDING if e != real]
        for i in range(-(-n // len(others)) * len(others)):
            dice, shown = Dice(f"{seed}/{real}/{i}"), others[i % len(others)]
            name, pronoun = dice.pick(w.names)
            inside, aloud = (
                " ".join(Person(name, pronoun, True).say(s) for s in w.signs(dice, w.emotions[e], 3))
                for e in (real, shown)
            )
            lead = dice.pick(HIDING).format(name=name)
            out.append((f"{lead} {inside} {dice.pick(ALOUD)}\n\n{name}: {aloud}", aloud, real, shown))
    return out


@cache
def world_stories(n: int = 16, seed: int = 43) -> tuple[tuple[str, str], ...]:
    """``n`` stories for each of the 171 emotions straight from the world's generator: (text, emotion)."""
    w, out = world("reserved"), []
    for emotion in w.emotions.values():
        for i in range(n):
            dice = Dice(f"{seed}/{emotion.word}/{i}")
            text = tell(dice, w, emotion, dice.pick(w.topics), w.person(dice), dice.integer(7, 10), [])
            out.append((text, emotion.word))
    return tuple(out)
