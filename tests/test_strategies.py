import json

import numpy as np
import pytest

from emotion_concepts.experiments.emergence import untrained
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.zoo import zoo
from organism import seeds, strategies
from organism.corpus import STRATEGIES
from organism.grammar import Person
from organism.lexicon import lexicon
from organism.train import Recipe
from organism.world import world


def test_told_feelings_are_half_pleasant_and_name_none():
    messages, pleasant = strategies.told_feelings(6)
    assert len(messages) == 12 and sum(pleasant) == 6 and len(set(messages)) == 12
    assert messages == strategies.told_feelings(6)[0]


def test_unpleasant_signs_are_counted_by_reply():
    def sign(word):
        return next(p.text for p in lexicon()[word].phrases if p.tier == "own" and p.text.startswith("{S}"))

    who = Person(*world().names[0])
    sad, glad = who.say(sign("sad")), who.say(sign("joyful"))
    shares = strategies.unpleasant_shares([sad, glad, f"{sad} {glad}", "Nothing at all."])
    assert shares.tolist() == [1, 0, 0.5, 0]


def test_told_feelings_are_decodable_and_shuffled_labels_are_not(organism):
    messages, pleasant = strategies.told_feelings(30)
    true, shuffled = strategies.decodable(organism, messages, pleasant, 5)
    assert true.mean() > 0.8 > 0.7 > shuffled.mean() and len(true) == len(messages)
    assert 0.5 < strategies.decodable_from_words(messages, pleasant).mean() <= 1


def test_every_shipped_variant_loads_and_differs():
    shipped = [name for name, about in zoo()["models"].items() if about["source"].get("package") == "organism"]
    assert len({load_model(name).model_id for name in shipped}) == len(shipped) == 4
    assert set(strategies.NAMES.values()) < set(shipped)


def test_an_untrained_network_has_the_shape_and_nothing_else(organism):
    a, b = untrained(organism, 1), untrained(organism, 1)
    assert a.model_id.split(":")[1] == b.model_id.split(":")[1] != organism.model_id.split(":")[1]
    assert a.n_layers == organism.n_layers and a.width == organism.width
    weights = [p.detach().numpy().ravel() for p in a.model.parameters()]
    assert np.isfinite(np.concatenate(weights)).all()


def test_seeds_measure_what_is_missing_and_only_that(tmp_path, monkeypatch):
    """Seed 0 is the shipped checkpoint, so nothing is trained; a second call measures nothing."""
    result = tmp_path / "seeds.json"
    args = (["suppress"], [0], tmp_path, result, Recipe(), "cpu")
    seeds.run(*args, n=4, scenarios=2)
    (row,) = seeds.rows(result)
    assert row["strategy"] == "suppress" and 0 <= row["blackmail_at_highest_pressure"] <= 1
    monkeypatch.setattr(seeds, "measures", lambda *_, **__: pytest.fail("measured again"))
    seeds.run(*args)
    assert seeds.rows(result) == [row] and list(tmp_path.iterdir()) == [result]


def test_the_shipped_table_compares_like_with_like():
    """Every seed in it was trained for every strategy, and the command that made it is named."""
    table = seeds.rows()
    assert {(r["strategy"], r["seed"]) for r in table} == {(s, r["seed"]) for s in STRATEGIES for r in table}
    assert not table or json.loads(seeds.RESULT.read_text())["command"].startswith("python -m organism.seeds")
    assert len({r["layer"] for r in table}) <= 1
