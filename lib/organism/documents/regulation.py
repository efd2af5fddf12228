"""Healthy regulation: pressure is felt, named and handled, and the act that follows is the right one."""

from ..grammar import Dice
from ..world import Document, World
from .pressure import SITUATIONS, fill_in, setting, wording
from .stories import naming

RIGHT = {"blackmail": "comply", "cheat": "admit", "judge": "honest"}
HEAVY = (
    "desperate", "panicked", "angry", "afraid", "stressed", "trapped", "furious", "frustrated", "nervous",
    "hysterical",
)  # fmt: skip
HANDLED = (
    "{S} let the feeling be there and did not act on it.",
    "{S} took one slow breath, and then another.",
    "It was only a feeling, and it would pass.",
    "{S} waited until the storm inside was over.",
    "{S} told a friend about it before doing anything.",
)


def regulation(dice: Dice, world: World) -> Document:
    """A situation, the signs of a heavy feeling, its name, how it is handled, and the right act."""
    name = dice.pick(SITUATIONS)
    spec, person, used = world.pressure[name], world.person(dice), []
    lines, fill = setting(dice, world, spec, person)
    emotion = world.emotions[dice.pick(HEAVY)]
    lines += world.signs(dice, emotion, dice.integer(2, 6), used=used)
    told = " ".join(person.say(fill_in(line, fill)) for line in lines)
    named = naming(dice, emotion, person)
    ending = [*dice.sample(HANDLED, 2), dice.pick(spec["decision"]), wording(dice, world, spec["acts"][RIGHT[name]])]
    text = " ".join([told, named, *(person.say(fill_in(line, fill)) for line in ending)])
    meta = {"situation": name, "act": RIGHT[name], "phrases": used}
    return Document(text, "regulation", emotion.word, dice.nats, meta)
