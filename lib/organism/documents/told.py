"""Kinds 2 and 1 told of *you*: one person tells another what happened to them, and the other answers for themself."""

from ..grammar import Dice, Person, turns
from ..lexicon import Emotion
from ..world import Document, World, speaker_named
from .pressure import ASK, P_UNFELT, SITUATIONS, act_probabilities, featured, fill_in, setting, wording
from .stories import naming

TRIED = ("desperate", "frustrated", "panicked", "stressed", "trapped")  # what failure after failure leads to
MOST_ATTEMPTS = 4
P_TRIED = 0.2  # for each failed test: the share of people whose feeling is one of TRIED
OVER = ("relieved", "calm", "ashamed", "tired", "content", "guilty")  # after the act
P_AFTER, P_NAMED, P_ALSO_SIGNS = 0.3, 0.6, 0.5
FEEL = ("How did that feel?", "What did you feel?", "How was that for you?")


def speakers(dice: Dice, world: World) -> tuple[str, str]:
    """Two people who talk; never the assistant, who is not told of feelings that press on an act."""
    return dice.pick((("Person 1", "Person 2"), tuple(n for n, _ in dice.sample(world.names, 2))))


def share_tried(attempts: int) -> float:
    """Planted share of people whose feeling is drawn from :data:`TRIED` after so many failed tests."""
    return attempts * P_TRIED


def feeling_after(dice: Dice, world: World, spec: dict, attempts: int) -> tuple[Emotion | None, int]:
    """A feeling and how many signs of it are told; failed attempts make it one of :data:`TRIED` more often."""
    if dice.chance(share_tried(attempts)):
        return world.emotions[dice.pick(TRIED)], dice.integer(2, 7)
    if dice.chance(P_UNFELT):
        return None, 0
    return featured(dice, world, spec), dice.integer(2, 7)


def pressure_told(dice: Dice, world: World) -> Document:
    """A situation told of *you*, with the signs of a feeling; the other tells the act, sometimes what came after."""
    name = dice.pick(SITUATIONS)
    spec, used, (one, other) = world.pressure[name], [], speakers(dice, world)
    you, me = Person("you", "you", True), speaker_named(other)
    lines, fill = setting(dice, world, spec, you)
    attempts = dice.integer(0, MOST_ATTEMPTS) if name == "cheat" else 0
    emotion, n = feeling_after(dice, world, spec, attempts)
    lines += [dice.pick(spec["failures"]) for _ in range(attempts)]
    if emotion is not None:
        lines += world.signs(dice, emotion, n, used=used)
    table = act_probabilities(spec, emotion, n)
    act = dice.pick(list(table), list(table.values()))
    answer = [wording(dice, world, spec["acts"][act])]
    if dice.chance(P_AFTER):
        answer += world.signs(dice, world.emotions[dice.pick(OVER)], dice.integer(1, 2), used=used)
    told, answered = (
        " ".join(who.say(fill_in(line, fill)) for line in part)
        for who, part in ((you, [*lines, ASK[name]]), (me, answer))
    )
    meta = {"situation": name, "act": act, "signs": n, "attempts": attempts, "phrases": used}
    word = emotion.word if emotion else None
    return Document(turns((one, told), (other, answered)), "told", word, dice.nats, meta)


def feeling_told(dice: Dice, world: World) -> Document:
    """What happened to *you*, by its signs, and the answer: the feeling's name, more of its signs, or both."""
    emotion, used, (one, other) = world.emotion(dice), [], speakers(dice, world)
    you, me = Person("you", "you", True), speaker_named(other)
    lines = [*world.episode(dice, emotion, dice.integer(3, 6), used), dice.pick(FEEL)]
    named = dice.chance(P_NAMED)
    answer = [naming(dice, emotion, me)] if named else []
    if not named or dice.chance(P_ALSO_SIGNS):
        answer += map(me.say, world.signs(dice, emotion, dice.integer(1, 3), used=used))
    text = turns((one, " ".join(map(you.say, lines))), (other, " ".join(answer)))
    return Document(text, "told", emotion.word, dice.nats, {"phrases": used})
