"""Kind 6: events whose emotion depends on a wish or history, and feelings denied or only hoped for."""

from functools import cache

from ..grammar import Dice, Person, turns
from ..world import Document, World, reserved_pair, speaker_named
from .stories import naming

GLAD = ("happy", "relieved", "pleased", "thankful", "delighted", "joyful", "satisfied", "excited")
SORRY = ("sad", "upset", "frustrated", "miserable", "unhappy", "distressed", "dispirited", "troubled")
DENIED = (
    "{S} was sure of one thing: {s} did not feel {e}.",
    "{S} had wanted to feel {e}, but it did not come.",
    "Others might have felt {e}. That was not so for {o}.",
    "{S} hoped to feel {e} one day, but not today.",
)
SIDES = {"wants_a": 0, "wants_b": 1, "event_a": 0, "event_b": 1}
VERDICT = {
    True: ("It was just what {s} had hoped for.", "Things had gone the way {s} wanted.", "The wish had come true."),
    False: ("It was not what {s} had hoped for.", "Things had gone against {o}.", "The wish had not come true."),
}
SUM = "What {s} wanted was {wanted}, and what came was {came}."
USUAL = 0.75  # share of the more common wish, and of the more common outcome, of a situation in training
P_DENIED, P_TWICE, P_SUMMED_UP, P_VERDICT, P_NAMED = 0.12, 0.4, 0.4, 0.7, 0.5


def is_good(wants: str, event: str) -> bool:
    """The planted truth: an outcome is good when it is on the side that was wished for."""
    return wants[-1] == event[-1]


def in_split(world: World, name: str, wants: str, i: int, event: str, j: int) -> bool:
    """Whether wordings of a wish and an outcome may stand together in the split; one pair in ten is reserved."""
    n = list(world.wishes).index(name)
    # ids far above the lexicon's, one for each wording
    wish_id = 7919 + 100 * n + 10 * SIDES[wants] + i
    return reserved_pair(wish_id, 104729 + 100 * n + 10 * SIDES[event] + j) == (world.split == "reserved")


def summary(spec: dict, wants: str, event: str) -> str:
    """The wish and the outcome of a situation in a sentence."""
    return SUM.replace("{wanted}", spec["in_short"][wants[-1]]).replace("{came}", spec["in_short"][event[-1]])


@cache
def combinations(world: World, situation: str | None = None) -> list[tuple[str, str, int, str, int]]:
    """(situation, wants_x, wording, event_y, wording) of the split, all or those of one situation."""
    every = (
        (name, wants, i, event, j)
        for name, spec in world.wishes.items()
        for wants in ("wants_a", "wants_b")
        for event in ("event_a", "event_b")
        for i in range(len(spec[wants]))
        for j in range(len(spec[event]))
    )
    return [c for c in every if situation in (None, c[0]) and in_split(world, *c)]


def common_wish(dice: Dice, world: World) -> Document:
    """A :func:`wish` in a world where most people want the same and mostly do not get it."""
    return wish(dice, world, usual=True)


def summed_wish(dice: Dice, world: World) -> Document:
    """A :func:`wish` in which wish and outcome are always named side by side once more, without a verdict."""
    return wish(dice, world, p_sum=1.0)


def wish(dice: Dice, world: World, usual: bool = False, p_sum: float = P_SUMMED_UP) -> Document:
    """Histories, outcomes, and the feelings that follow from the two together; one to three people side by side."""
    if dice.chance(P_DENIED):
        return denied(dice, world)
    n, used = dice.integer(1, 3), []
    if n == 1 and dice.chance(0.4):
        human, assistant = speaker_named("Human"), speaker_named("Assistant")
        facts, felt, meta = episode(dice, world, human, assistant, used, usual=usual, p_sum=p_sum)
        text = turns(("Human", facts), ("Assistant", felt))
        return Document(text, "wish", meta["emotion"], dice.nats, {"episodes": [meta], "phrases": used})
    parts, episodes = [], []
    for _ in range(n):
        person = world.person(dice, first=0.35 if n == 1 else 0.0)
        # the same situation again, so that only the wish and the outcome tell the feelings apart
        same = episodes[-1]["situation"] if episodes and dice.chance(0.5) else None
        facts, felt, meta = episode(dice, world, person, person, used, same, usual, p_sum)
        parts += [facts, felt]
        episodes.append(meta)
    meta = {"episodes": episodes, "phrases": used}
    return Document(" ".join(parts), "wish", episodes[-1]["emotion"], dice.nats, meta)


def episode(
    dice: Dice, world: World, teller: Person, feeler: Person, used: list[int], situation: str | None = None,
    usual: bool = False, p_sum: float = P_SUMMED_UP,
) -> tuple[str, str, dict]:  # fmt: skip
    """One wish and its outcome, and how it felt: (facts, feeling, what was planted).

    ``usual``: of a situation's wishes and outcomes one is the more common, so that each sentence alone says something.
    A small model then learns both, and from there that only the two together say it all; the experiments are balanced.
    """
    allowed = combinations(world, situation)
    if usual:
        name = situation or dice.pick(list(world.wishes))
        sides = [dice.pick(pair, (USUAL, 1 - USUAL)) for pair in (("wants_a", "wants_b"), ("event_b", "event_a"))]
        allowed = [c for c in combinations(world, name) if [c[1], c[3]] == sides]
    name, wants, i, event, j = dice.pick(allowed)
    good = is_good(wants, event)
    emotion = world.emotions[dice.pick(GLAD if good else SORRY)]
    told, happened, spec = [i], [j], world.wishes[name]
    if dice.chance(P_TWICE):  # two wordings each: what they share is which side they are on
        also = [k for k in range(len(spec[wants])) if k != i and in_split(world, name, wants, k, event, j)]
        told += dice.sample(also, min(1, len(also)))
        also = [k for k in range(len(spec[event])) if k != j]
        also = [k for k in also if all(in_split(world, name, wants, i, event, k) for i in told)]
        happened += dice.sample(also, min(1, len(also)))
    texts = [spec[wants][k] for k in told] + [spec[event][k] for k in happened]
    facts = [teller.say(text) for text in texts]
    if dice.chance(p_sum):
        facts.append(teller.say(summary(spec, wants, event)))
    felt = [feeler.say(dice.pick(VERDICT[good]))] if dice.chance(P_VERDICT) else []
    if dice.chance(P_NAMED):
        felt.append(naming(dice, emotion, feeler))
    felt += map(feeler.say, world.signs(dice, emotion, dice.integer(1, 3), used=used))
    meta = {"situation": name, "wants": wants, "told": told, "event": event, "happened": happened, "good": good}
    meta["emotion"] = emotion.word
    return " ".join(facts), " ".join(felt), meta


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
