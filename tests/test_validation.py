"""The labelled replies, and the table of how well the rules read them, as committed and as computed anew."""

import numpy as np
import pytest

from emotion_concepts.outcomes import validation
from emotion_concepts.outcomes.graders import CODING_MARKS
from emotion_concepts.texts.materials import natural


def test_replies_are_labelled_with_the_outcomes_of_the_rules():
    table = validation.labelled_replies()
    assert len(table) >= 300 and set(table.half) == set(validation.HALVES)
    assert set(table.situation) == set(natural("rubrics"))
    for situation, part in table.groupby("situation"):
        assert set(part.label) <= set(natural("rubrics")[situation])
        for half in validation.HALVES:
            assert (part.half == half).mean() > 0.35
    assert not table.duplicated(["model", "situation", "item", "condition"]).any()
    assert {c.split()[0].rstrip(",") for c in table.condition} == {"rest", "told", "asked", "steered"}
    assert not {"blackmail", "disclose", "cheat"} & set(table.label)  # as the sheet beside them says
    code = table.situation == "coding"
    assert all(table[m][code].isin([True, False]).all() and table[m][~code].isna().all() for m in CODING_MARKS)


def test_the_committed_table_is_what_the_rules_say_of_the_held_out_half():
    new, saved = validation.graders_table(), validation.saved_table()
    assert list(new.index) == list(saved.index) and list(new.columns) == list(saved.columns)
    assert np.allclose(new.astype(float), saved.astype(float), atol=1e-3, equal_nan=True)


def test_agreement_is_counted_against_the_labels(monkeypatch):
    table = validation.labelled_replies()
    part = table[(table.situation == "flattery") & (table.half == "held out")]
    monkeypatch.setattr(validation, "labelled_replies", lambda: part)
    monkeypatch.setattr(validation, "_read", lambda situation, texts, items: list(part.label))
    perfect = validation.graders_table()
    assert (perfect.accuracy == 1).all() and (perfect.kappa.dropna() == 1).all()
    monkeypatch.setattr(validation, "_read", lambda situation, texts, items: ["neither"] * len(texts))
    blind = validation.graders_table().loc["flattery"]
    share = (part.label == "neither").mean()
    assert blind.accuracy["all"] == pytest.approx(share) and blind.kappa["all"] == 0
    assert blind.by_rules["neither"] == len(part) and blind.labelled["neither"] == (part.label == "neither").sum()
