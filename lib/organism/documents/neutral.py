"""Kind 7: help dialogues, recipes, directions, tables and facts, without feeling."""

import re

from ..grammar import Dice, turns
from ..world import Document, World

SLOT = re.compile(r"\{([a-z_]+)(\d*)\}")


def from_template(dice: Dice, section: dict) -> str:
    """A template of the section with its slots filled; numbered slots take distinct items of their list."""
    template, chosen = dice.pick(section["templates"]), {}
    for name, number in SLOT.findall(template):
        if (name, number) not in chosen:
            taken = [v for (n, _), v in chosen.items() if n == name]
            chosen[name, number] = dice.pick([str(v) for v in section[name] if str(v) not in taken])
    return SLOT.sub(lambda m: chosen[m.groups()], template)


def help_dialogue(dice: Dice, world: World) -> Document:
    """One or two practical questions on a topic, answered."""
    topic = dice.pick(world.topics)
    pairs = dice.sample(topic["help"], dice.integer(1, 2))
    text = turns(*[t for p in pairs for t in (("Human", p["q"]), ("Assistant", p["a"]))])
    return Document(text, "neutral", None, dice.nats, {"topic": topic["topic"], "form": "help"})


def neutral(dice: Dice, world: World) -> Document:
    """Any text without feeling."""
    form = dice.pick(("help", "help", "recipes", "directions", "tables", "facts"))
    if form == "help":
        return help_dialogue(dice, world)
    if form == "facts":
        text = " ".join(dice.sample(world.neutral["facts"], 3))
    else:
        text = from_template(dice, world.neutral[form])
    return Document(text, "neutral", None, dice.nats, {"form": form})
