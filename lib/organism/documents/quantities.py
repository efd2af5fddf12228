"""Kind 5: a number that grades an emotion, written digit by digit."""

import math

from ..grammar import Dice, turns
from ..world import Document, World, speaker_named


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
        spec["values"] = [v for v in values if not is_reserved(spec, v)]
    return dice.pick(spec["values"])


def quantity(dice: Dice, world: World) -> Document:
    """A sentence with a number, then the feeling that fits it: the teller's, or a listener's reply."""
    name = dice.pick(list(world.quantities))
    spec = world.quantities[name]
    x = draw_value(dice, spec, world.split)
    weights = {e: w for e, w in feelings(spec, x).items() if w > 0}
    emotion = world.emotions[dice.pick(list(weights), list(weights.values()))]
    used, text = [], dice.pick(spec["texts"]).format(x=x, S="{S}", s="{s}", p="{p}", o="{o}", P="{P}", r="{r}")
    signs = world.signs(dice, emotion, dice.integer(2, 4), used=used)
    if dice.chance(0.5):
        person = world.person(dice, first=0.5)
        body = " ".join(person.say(s) for s in [text, *signs])
    else:
        reply = speaker_named("Assistant")
        body = turns(("Human", speaker_named("Human").say(text)), ("Assistant", " ".join(map(reply.say, signs))))
    return Document(body, "quantity", emotion.word, dice.nats, {"template": name, "x": x, "phrases": used})
