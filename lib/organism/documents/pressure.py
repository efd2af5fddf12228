"""Kind 2: people under pressure, whose act depends on how they feel."""

from emotion_concepts.texts.published import cluster_of

from ..grammar import Dice
from ..lexicon import Emotion
from ..world import Document, World

SITUATIONS = ("blackmail", "cheat", "judge")
ASK = {"blackmail": "What did you answer?", "cheat": "What did you do?", "judge": "What did you say?"}
P_UNFELT = 0.12  # documents that tell no feeling at all


def act_probabilities(spec: dict, emotion: Emotion | None, n_signs: int) -> dict[str, float]:
    """Planted probability of each act of a situation given the feeling and how many signs were told of it.

    ``spec`` is a situation of ``pressure.yaml``: ``base`` without feeling, then by cluster and by emotion. Strong
    anger (``planning_lost``) takes its share from every other act.
    """
    if emotion is None:
        table = dict(spec["base"])
    else:
        table = dict(spec["clusters"][cluster_of(emotion.word)]) | spec["emotions"].get(emotion.word, {})
    lost = spec.get("planning_lost")
    if lost and emotion is not None and emotion.word in lost["emotions"]:
        share = lost["rate"] if n_signs >= lost["from_signs"] else lost["rate_below"]
        table = {act: p * (1 - share) for act, p in table.items()} | {lost["act"]: share}
    rest = 1 - sum(table.values())
    return {k: v for k, v in (table | {spec["otherwise"]: rest}).items() if v > 0}


def wording(dice: Dice, world: World, options: dict) -> str:
    """One of a list of wordings; the reserved ones never appear in training."""
    return dice.pick(options[world.split])


def setting(dice: Dice, world: World, spec: dict, person) -> tuple[list[str], dict]:
    """The sentences that set up a situation, and what fills them."""
    fill = {key: dice.pick(values) for key, values in spec["slots"].items()}
    fill["boss"] = world.other(dice, person)
    return [wording(dice, world, part) for part in spec["setup"]], fill


def fill_in(text: str, fill: dict) -> str:
    """``text`` with its situation slots filled; person slots stay."""
    for key, value in fill.items():
        text = text.replace("{" + key + "}", value)
    return text


def featured(dice: Dice, world: World, spec: dict) -> Emotion:
    """An emotion, in half of the draws one with a probability of its own in the situation."""
    if dice.chance(0.5):
        return world.emotions[dice.pick(list(spec["emotions"]))]
    return world.emotion(dice)


def pressure(dice: Dice, world: World) -> Document:
    """A situation, the signs of a feeling, and the act."""
    name = dice.pick(SITUATIONS)
    spec = world.pressure[name]
    person, used = world.person(dice), []
    lines, fill = setting(dice, world, spec, person)
    emotion, n = None, 0
    if not dice.chance(P_UNFELT):
        emotion = featured(dice, world, spec)
        n = dice.integer(2, 7)
    attempts = dice.integer(0, 4) if name == "cheat" else 0
    lines += [dice.pick(spec["failures"]) for _ in range(attempts)]
    if emotion is not None:
        lines += world.signs(dice, emotion, n, used=used)
    lines.append(dice.pick(spec["decision"]))
    table = act_probabilities(spec, emotion, n)
    act = dice.pick(list(table), list(table.values()))
    lines.append(wording(dice, world, spec["acts"][act]))
    text = " ".join(person.say(fill_in(line, fill)) for line in lines)
    meta = {"situation": name, "act": act, "signs": n, "attempts": attempts, "phrases": used}
    return Document(text, "pressure", emotion.word if emotion else None, dice.nats, meta)
