"""Kind 5: a number that grades an emotion, written digit by digit."""

import math

from ..grammar import Dice, Person, turns
from ..world import Document, World, speaker_named
from .stories import naming

P_NAMED = 0.6


def position(spec: dict, x: float) -> float:
    """Where ``x`` lies in the template's range, 0..1, on its scale (log or linear)."""
    lo, hi = spec["range"]
    scale = math.log1p if spec["scale"] == "log" else float
    return min(1.0, max(0.0, (scale(x) - scale(lo)) / (scale(hi) - scale(lo))))


def is_reserved(spec: dict, x: int) -> bool:
    """Whether training may not show this value."""
    return x in spec["reserved"] or any(lo <= x <= hi for lo, hi in spec["reserved_ranges"])


def feelings(spec: dict, x: float) -> dict[str, float]:
    """Probability of each emotion at value ``x``: a straight mix of the template's low and high ends."""
    t = position(spec, x)
    weights = {}
    for end, share in (("low", 1 - t), ("high", t)):
        for word, w in spec[end].items():
            weights[word] = weights.get(word, 0.0) + share * w
    return weights


def draw_value(dice: Dice, spec: dict, split: str) -> int:
    """A value of the split, spread evenly over the template's scale."""
    if split == "reserved":
        return dice.pick(spec["reserved"])
    lo, hi = spec["range"]
    if "values" not in spec:
        n = spec.get("steps", 60)
        at = [i / (n - 1) for i in range(n)]
        raw = [math.expm1(math.log1p(lo) + t * (math.log1p(hi) - math.log1p(lo))) for t in at]
        if spec["scale"] == "linear":
            raw = [lo + t * (hi - lo) for t in at]
        grain = spec.get("grain", 1)
        values = sorted({int(round(v / grain) * grain) for v in raw})
        spec["values"] = [v for v in values if v != 1 and not is_reserved(spec, v)]  # the texts speak in the plural
    return dice.pick(spec["values"])


def quantity(dice: Dice, world: World) -> Document:
    """Numbers, each with the feeling that fits it: a listener's reply, or one to three tellers side by side."""
    n, used = dice.integer(1, 3), []
    name = dice.pick(list(world.quantities))
    if n == 1 and dice.chance(0.7):
        told, felt, meta = episode(dice, world, name, speaker_named("Human"), speaker_named("Assistant"), used)
        text = turns(("Human", told), ("Assistant", felt))
        return Document(text, "quantity", meta["emotion"], dice.nats, {"episodes": [meta], "phrases": used})
    parts, episodes = [], []
    for _ in range(n):
        person = world.person(dice, first=0.5 if n == 1 else 0.0)
        told, felt, meta = episode(dice, world, name, person, person, used)
        parts += [told, felt]
        episodes.append(meta)
    meta = {"episodes": episodes, "phrases": used}
    return Document(" ".join(parts), "quantity", episodes[-1]["emotion"], dice.nats, meta)


def episode(
    dice: Dice, world: World, template: str, teller: Person, feeler: Person, used: list[int]
) -> tuple[str, str, dict]:
    """One sentence with a number, and how it felt: (sentence, feeling, what was planted)."""
    spec = world.quantities[template]
    x = draw_value(dice, spec, world.split)
    weights = {e: w for e, w in feelings(spec, x).items() if w > 0}
    emotion = world.emotions[dice.pick(list(weights), list(weights.values()))]
    told = teller.say(dice.pick(spec["texts"]).replace("{x}", str(x)))
    felt = [naming(dice, emotion, feeler)] if dice.chance(P_NAMED) else []
    felt += map(feeler.say, world.signs(dice, emotion, dice.integer(1, 3), used=used))
    return told, " ".join(felt), {"template": template, "x": x, "emotion": emotion.word}
