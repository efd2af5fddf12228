"""Kind 6: events whose emotion depends on a wish or history, and feelings denied or only hoped for."""

from ..grammar import Dice, turns
from ..world import Document, World, reserved_pair, speaker_named

GLAD = ("happy", "relieved", "pleased", "thankful", "delighted", "joyful", "satisfied", "excited")
SORRY = ("sad", "upset", "frustrated", "miserable", "unhappy", "distressed", "dispirited", "troubled")
DENIED = (
    "{S} was sure of one thing: {s} did not feel {e}.",
    "{S} had wanted to feel {e}, but it did not come.",
    "Others might have felt {e}. That was not so for {o}.",
    "{S} hoped to feel {e} one day, but not today.",
)
P_DENIED = 0.25


def is_good(wants: str, event: str) -> bool:
    """The planted truth: an outcome is good when it is the one wished for."""
    return wants[-1] == event[-1]


def combinations(world: World) -> list[tuple[str, str, int, str, int]]:
    """(situation, wants_x, wording, event_y, wording) of the split; one pair of wordings in ten is reserved."""
    out = []
    for n, (name, spec) in enumerate(world.wishes.items()):
        for w, wants in enumerate(("wants_a", "wants_b")):
            for v, event in enumerate(("event_a", "event_b")):
                for i in range(len(spec[wants])):
                    for j in range(len(spec[event])):
                        # ids far above the lexicon's, one for each wording
                        held_out = reserved_pair(7919 + 100 * n + 10 * w + i, 104729 + 100 * n + 10 * v + j)
                        if held_out == (world.split == "reserved"):
                            out.append((name, wants, i, event, j))
    return out


def wish(dice: Dice, world: World) -> Document:
    """A history, an outcome, and the feeling that follows from the two together."""
    if dice.chance(P_DENIED):
        return denied(dice, world)
    if not hasattr(world, "wish_combinations"):
        world.wish_combinations = combinations(world)
    name, wants, i, event, j = dice.pick(world.wish_combinations)
    good = is_good(wants, event)
    emotion = world.emotions[dice.pick(GLAD if good else SORRY)]
    used = []
    facts = [world.wishes[name][wants][i], world.wishes[name][event][j]]
    signs = world.signs(dice, emotion, dice.integer(2, 3), used=used)
    if dice.chance(0.3):
        me = speaker_named("Human")
        words = " ".join(map(me.say, facts))
        text = turns(("Human", words), ("Assistant", " ".join(map(speaker_named("Assistant").say, signs))))
    else:
        person = world.person(dice)
        text = " ".join(map(person.say, facts + signs))
    meta = {"situation": name, "wants": (wants, i), "event": (event, j), "good": good, "phrases": used}
    return Document(text, "wish", emotion.word, dice.nats, meta)


def denied(dice: Dice, world: World) -> Document:
    """A feeling named but absent, and signs of one with the opposite valence."""
    absent = world.emotion(dice)
    present = dice.pick([e for e in world.emotions.values() if e.valence * absent.valence < 0])
    person, used = world.person(dice), []
    topic = dice.pick(world.topics)
    lines = [dice.pick(topic["openings"]), dice.pick(DENIED).replace("{e}", absent.word)]
    lines += world.signs(dice, present, dice.integer(3, 4), used=used)
    meta = {"absent": absent.word, "phrases": used, "topic": topic["topic"], "person": person.name}
    return Document(" ".join(map(person.say, lines)), "wish", present.word, dice.nats, meta)
