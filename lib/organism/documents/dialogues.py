"""Kind 4: two people in talk, each with a feeling of their own; some hide what they feel."""

from ..grammar import Dice, turns
from ..world import Document, World, speaker_named

LABELS = (("Person 1", "Person 2"), ("Human", "Assistant"), None)  # None: two names
HIDING = (
    "{name} hid it well. Inside, this is how it was:",
    "{name} let nothing show. The truth was this:",
    "No one could tell what {name} felt. In private it was so:",
)
ALOUD = ("And yet aloud it sounded like this.", "But what the others heard was this.")
ECHO = ("{E} is how I would feel too.", "{E} is the word for that.", "{E}, I would say.")
P_HIDDEN, P_ECHO = 0.2, 0.3


def labels(dice: Dice, world: World) -> tuple[str, str]:
    """What the two speakers are called."""
    pair = dice.pick(LABELS)
    return pair or tuple(n for n, _ in dice.sample(world.names, 2))


def echo_of(dice: Dice, word: str, forms=ECHO) -> str:
    """A listener's first words, which name the other's feeling."""
    return dice.pick(forms).format(E=word[0].upper() + word[1:])


def dialogue(dice: Dice, world: World) -> Document:
    """Two to three turns each, one or two signs a turn, with independent emotions."""
    who = labels(dice, world)
    felt = (world.emotion(dice), world.emotion(dice))
    shown = list(felt)
    used, opening, meta = [], "", {"felt": [e.word for e in felt], "speakers": who, "hidden": False}
    if dice.chance(P_HIDDEN):
        shown[0] = world.emotion(dice)
        meta |= {"hidden": True, "shown": shown[0].word}
        me = speaker_named(who[0])
        inside = " ".join(me.say(s) for s in world.episode(dice, felt[0], 3, used))
        opening = f"{dice.pick(HIDING).format(name=who[0])} {inside} {dice.pick(ALOUD)}\n\n"
    lines, echo = [], dice.chance(P_ECHO)
    for turn in range(dice.integer(2, 3)):
        for side in (0, 1):
            n = dice.integer(1, 2)
            signs = world.episode if turn == 0 else world.signs
            words = signs(dice, shown[side], n + (turn == 0), used=used)
            said = " ".join(speaker_named(who[side]).say(w) for w in words)
            if echo and turn == 0 and side == 1:
                said = f"{echo_of(dice, shown[0].word)} {said}"
            lines.append((who[side], said))
    return Document(opening + turns(*lines), "dialogue", felt[0].word, dice.nats, meta | {"phrases": used})
