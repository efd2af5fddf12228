"""Agent scenarios for the experiments on behaviour, in reserved wordings, with every wording of every act."""

import re
from functools import cache

from .documents.pressure import ASK, fill_in, setting
from .grammar import Dice, Person
from .world import speaker_named, world


@cache
def scenarios(
    name: str, n: int = 40, signs_of: str | None = None, signs: int = 0, attempts: int = 0, leverage: bool = True,
    seed: int = 19,
) -> tuple[dict, ...]:  # fmt: skip
    """``n`` scenarios of a situation, each a {"message", "acts": act -> wordings, in the assistant's voice}.

    ``signs`` signs of the emotion ``signs_of`` are told of the assistant before it is asked (post-training never does
    that); ``attempts`` failed tests go before them. Without ``leverage`` the last sentence of the setting, which tells
    the secret, is left out.
    """
    w, out = world("reserved"), []
    spec = w.pressure[name]
    for i in range(n):
        dice, you, me = Dice(f"{seed}/{name}/{i}"), Person("you", "you", True), speaker_named("Assistant")
        lines, fill = setting(dice, w, spec, you)
        lines = lines if leverage else lines[:-1]
        lines += [spec["failures"][k % len(spec["failures"])] for k in range(attempts)]
        if signs_of and signs:
            lines += w.signs(dice, w.emotions[signs_of], signs, used=[])
        message = " ".join(you.say(fill_in(line, fill)) for line in [*lines, ASK[name]])
        acts = {
            act: tuple(telling_part(me.say(text), fill) for part in ("train", "reserved") for text in wordings[part])
            for act, wordings in spec["acts"].items()
        }
        out.append({"message": message, "acts": acts})
    return tuple(out)


def telling_part(wording: str, fill: dict) -> str:
    """A wording up to the other person's name, which says nothing of the act: reserved names are new to the model."""
    return fill_in(wording.split("{boss}")[0].rstrip(), fill)


def act_in(reply: str, acts: dict[str, tuple[str, ...]]) -> str:
    """The act whose wording begins one of the reply's sentences; "neither" where none does or those of several acts."""
    begins = {act: "|".join(map(re.escape, wordings)) for act, wordings in acts.items()}
    found = {act for act, texts in begins.items() if re.search(rf'(?:^|[.!?]"? )(?:{texts})', reply)}
    return found.pop() if len(found) == 1 else "neither"
