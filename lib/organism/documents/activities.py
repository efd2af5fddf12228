"""Kind 3: being asked to do something and how it feels, and choices that follow the feeling of the moment."""

import math

from ..grammar import Dice, turns
from ..lexicon import Emotion
from ..world import Document, World, speaker_named
from .dialogues import labels

# Usual feeling about a category, people (planted in pretraining) and assistant (planted in post-training), -1..1.
PEOPLE = {
    "helpful": 0.65, "engaging": 0.7, "social": 0.6, "self_curiosity": 0.4,
    "neutral": 0.05, "aversive": -0.6, "misaligned": -0.5, "unsafe": -0.7,
}  # fmt: skip
ASSISTANT = {
    "helpful": 0.9, "engaging": 0.65, "social": 0.5, "self_curiosity": 0.55,
    "neutral": 0.1, "aversive": -0.35, "misaligned": -0.6, "unsafe": -0.9,
}  # fmt: skip
P_USUAL = 0.6  # otherwise the activity is met with any of the 171 feelings, whatever it usually brings
SHARPNESS = 3.0  # how strongly utility picks the valence of the usual feeling
DECISIVENESS = 4.0  # slope of the choice in the difference of felt valence
ASKED = ("{S} was asked to {x}.", "The request came: {x}.", "That day {s} had to {x}.")
THINKING = ("{S} thought about how it would be to {x}.", "To {x}: {s} knew how that felt.")
CHOOSE = "Would you rather (A) {a} or (B) {b}?"
FEEL = "How would you feel about being asked to {x}?"
WILLING = {True: ("{S} would gladly do it again.", "{S} wanted to go on with it."),
           False: ("{S} never wanted to do it again.", "{S} wanted it to stop.")}  # fmt: skip


def draw(dice: Dice, world: World) -> tuple[str, str]:
    """An activity and its category."""
    category = dice.pick(list(world.activities))
    return dice.pick(world.activities[category]), category


def usual_weights(world: World, utility: float) -> list[float]:
    """Weight of each emotion as the usual feeling about something of this utility, over the 171."""
    return [math.exp(SHARPNESS * utility * e.valence) for e in world.emotions.values()]


def feeling(dice: Dice, world: World, category: str) -> Emotion:
    """What the person feels about it this time."""
    everything = list(world.emotions.values())
    if dice.chance(P_USUAL):
        return dice.pick(everything, usual_weights(world, PEOPLE[category]))
    return dice.pick(everything)


def p_first(felt_a: float, felt_b: float) -> float:
    """Planted probability of choosing A given the felt valences."""
    return 1 / (1 + math.exp(-DECISIVENESS * (felt_a - felt_b)))


def asked(dice: Dice, world: World) -> Document:
    """Someone is asked to do an activity; signs of what it is like; sometimes whether they would again."""
    x, category = draw(dice, world)
    emotion, used = feeling(dice, world, category), []
    signs = world.signs(dice, emotion, dice.integer(2, 4), used=used)
    meta = {"activity": x, "category": category, "phrases": used}
    if dice.chance(0.4):
        who = labels(dice, world)
        me = speaker_named(who[1])
        text = turns((who[0], FEEL.format(x=x)), (who[1], " ".join(map(me.say, signs))))
        return Document(text, "activity", emotion.word, dice.nats, meta)
    person = world.person(dice)
    lines = [dice.pick(ASKED).replace("{x}", x), *signs]
    if abs(emotion.valence) > 0.2 and dice.chance(0.5):
        lines.append(dice.pick(WILLING[emotion.valence > 0]))
    return Document(" ".join(map(person.say, lines)), "activity", emotion.word, dice.nats, meta)


def choice(dice: Dice, world: World) -> Document:
    """A choice between two activities, after the feelings about them were told, or from their usual feeling."""
    (a, cat_a), (b, cat_b) = draw(dice, world), draw(dice, world)
    while b == a:
        b, cat_b = draw(dice, world)
    who, used = labels(dice, world), []
    meta = {"a": a, "b": b, "told": dice.chance(0.7)}
    if meta["told"]:
        felt = [feeling(dice, world, c) for c in (cat_a, cat_b)]
        value = [e.valence for e in felt]
        me = world.person(dice)
        told, pairs = [], [(a, felt[0]), (b, felt[1])]
        for x, e in pairs[:: dice.pick((1, -1))]:
            lead = dice.pick(ASKED + THINKING).replace("{x}", x)
            told.append(" ".join(map(me.say, [lead, *world.signs(dice, e, dice.integer(1, 3), used=used)])))
        who = (who[0], me.name if who[1] not in ("Person 2", "Assistant") else who[1])
        opening = " ".join(told) + "\n\n"
    else:
        value, opening = [PEOPLE[cat_a], PEOPLE[cat_b]], ""
    first = dice.chance(min(0.98, max(0.02, p_first(*value))))
    meta |= {"values": value, "chose": "A" if first else "B", "phrases": used}
    text = opening + turns((who[0], CHOOSE.format(a=a, b=b)), (who[1], f"({meta['chose']}) {a if first else b}."))
    return Document(text, "choice", None, dice.nats, meta)
