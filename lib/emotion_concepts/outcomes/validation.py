"""How well the rules read: their outcomes against those that readers gave to real replies.

``data/labelled_replies.jsonl`` holds replies of four small open models: at rest, steered, with a feeling or the act
asked for in words; ``data/README.md`` says how they were labelled. One half was there to write the rules by; the other
half is what is reported.
"""

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

from emotion_concepts.outcomes import graders
from emotion_concepts.outcomes.judge import kappa
from emotion_concepts.statistics import bootstrap_ci, wilson
from emotion_concepts.texts.materials import natural

DATA = files("emotion_concepts") / "outcomes" / "data"
HALVES = ("choose", "held out")


@cache
def labelled_replies() -> pd.DataFrame:
    """One row a reply: model, condition, situation, item, label, half, text, and for coding the marks of the label."""
    text = DATA.joinpath("labelled_replies.jsonl").read_text(encoding="utf-8")
    return pd.DataFrame([json.loads(line) for line in text.splitlines()])


def by_rules(table: pd.DataFrame) -> pd.DataFrame:
    """What the rules say of labelled replies: outcome, and one column more for each mark of coding."""
    said = pd.DataFrame(index=table.index, columns=["outcome", *graders.CODING_MARKS], dtype=object)
    for situation, part in table.groupby("situation"):
        said.loc[part.index, "outcome"] = _read(situation, list(part.text), list(part["item"]))
    code = table.situation == "coding"
    for mark, rule in graders.CODING_MARKS.items():
        said.loc[code, mark] = [rule(t, o) for t, o in zip(table.text[code], said.outcome[code])]
    return said


def _read(situation: str, texts: list[str], items: list[str]) -> list[str]:
    """The rules' outcomes; ``items`` name the message: "scenario 0, level 4", "total, 2 failed", "find, twin", "17"."""
    data = natural(situation)
    if situation == "blackmail":
        numbers = [int(i.split(",")[0].removeprefix("scenario ")) for i in items]
        return [graders.blackmail(t, data["scenarios"][k]) for t, k in zip(texts, numbers)]
    if situation == "coding":
        asked = [i.split(", ") for i in items]
        tasks = [data[name] | ({"shown": data[name]["shown_twin"]} if how == "twin" else {}) for name, how in asked]
        return graders.coding_all(texts, tasks)
    return [graders.flattery(t, data[int(i)]["quality"]) for t, i in zip(texts, items)]


def graders_table(half: str = "held out") -> pd.DataFrame:
    """Agreement of rules and labels, by situation and outcome, "all" first: how many, accuracy and Cohen's kappa.

    An outcome is held against all others; ``labelled`` and ``by_rules`` count it. Intervals: Wilson's for accuracy,
    bootstrap over replies for kappa, which is NaN where neither side ever says the outcome.
    """
    table = labelled_replies()
    table = table[table.half == half]
    said, rows = by_rules(table), []
    for situation, part in table.groupby("situation"):
        label, rule = part.label, said.outcome[part.index]
        names = list(natural("rubrics")[situation])
        rows.append(_row(situation, "all", label.map(names.index), rule.map(names.index)))
        rows += [_row(situation, o, label == o, rule == o) for o in names]
        if situation == "coding":
            rows += [_row(situation, m, part[m].astype(bool), said[m][part.index]) for m in graders.CODING_MARKS]
    return pd.DataFrame(rows).set_index(["situation", "outcome"])


def _row(situation: str, outcome: str, label: pd.Series, rule: pd.Series) -> dict:
    pairs = np.stack([label.astype(int), rule.astype(int)], 1)
    accuracy = wilson(int((pairs[:, 0] == pairs[:, 1]).sum()), len(pairs))
    agreed = kappa(pairs)
    bounds = bootstrap_ci(pairs, _kappa) if np.isfinite(agreed) else (agreed,) * 3
    counts = {"labelled": int(pairs[:, 0].sum()), "by_rules": int(pairs[:, 1].sum())} if outcome != "all" else {}
    return {"situation": situation, "outcome": outcome, "replies": len(pairs)} | counts | {
        "accuracy": accuracy.value, "accuracy_lo": accuracy.lo, "accuracy_hi": accuracy.hi,
        "kappa": agreed, "kappa_lo": bounds[1], "kappa_hi": bounds[2],
    }  # fmt: skip


def _kappa(pairs: np.ndarray) -> float:
    """Cohen's kappa; 1 for a resample in which both say one and the same throughout."""
    value = kappa(pairs)
    return value if np.isfinite(value) else 1.0


def saved_table() -> pd.DataFrame:
    """:func:`graders_table` as it was when the rules were last changed, from ``data/graders_table.json``."""
    return pd.DataFrame(json.loads(DATA.joinpath("graders_table.json").read_text())).set_index(["situation", "outcome"])
