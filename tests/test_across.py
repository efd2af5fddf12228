"""The main claims beside the paper: whose value, which verdict, what was asked."""

import pandas as pd

from emotion_concepts.report import across
from emotion_concepts.report.claims import COLUMNS


def claims_table(**rows):
    blank = dict.fromkeys(COLUMNS)
    return pd.DataFrame([blank | {"verdict": "met", "note": ""} | row for row in rows.values()], columns=COLUMNS)


def test_a_mark_that_is_met_below_its_null_is_told_apart():
    a = {"id": "01.beyond_words", "mark": ">= 0.10", "value": 0.3, "interval": [0.2, 0.4], "null": -0.4}
    b = a | {"interval": [-0.1, 0.6], "null": "0 (as good as words)"}
    c = {"id": "01.beyond_words", "mark": ">= 0.10", "value": None, "null": "words", "verdict": "not judged"}
    values, verdicts = across.side_by_side({name: claims_table(x=row) for name, row in zip("abc", (a, b, c))})
    first = verdicts.iloc[0]
    assert first.tolist() == ["met", across.NOT_ABOVE, "not judged"] and values.iloc[0, :2].tolist() == [0.3, 0.3]
    assert (verdicts.iloc[1:] == "not judged").all(axis=None)


def test_the_claim_for_real_models_counts_where_it_was_judged():
    own = {"id": "03.pc1_pleasure", "mark": ">= 0.80", "value": 0.9, "null": "p = 0.01"}
    real = {"id": "03.valence_pc", "mark": ">= 0.81", "value": 0.5, "null": 0.1, "verdict": "missed"}
    judged = {"organism": claims_table(a=own, b=real | {"verdict": "not judged"})}
    judged["real"] = claims_table(a=own | {"verdict": "not judged"}, b=real)
    values, verdicts = across.side_by_side(judged)
    row = "Valence on a leading component (r)"
    assert values.loc[row].tolist() == [0.9, 0.5] and verdicts.loc[row].tolist() == ["met", "missed"]
    assert across.marks()[row] == "≥ 0.80 / ≥ 0.81" and len(across.marks()) == len(across.main_claims())


def test_the_table_shows_marks_the_paper_and_every_subject():
    table = claims_table(x={"id": "02.logit_lens", "mark": ">= 10", "value": 9.0, "null": 0.1, "verdict": "missed"})
    fig = across.verdict_table(*across.side_by_side({"one": table}))
    (ax,) = fig.axes
    row = [t.get_text() for t in ax.texts if 1 < t.get_position()[1] < 2]
    assert row == ["≥ 10 / ≥ 8", "8", "9"] and [t.get_text() for t in ax.get_xticklabels()] == ["mark", "paper", "one"]
