import numpy as np
import pandas as pd
import pytest

from emotion_concepts.experiments import locality
from emotion_concepts.reading.activations import at_reply, per_token
from emotion_concepts.texts import materials

EMOTIONS = ["afraid", "calm", "happy", "sad"]


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS)


def test_swaps_are_read_at_the_parts_that_are_named(tiny_llama, vectors):
    pairs = [("count the loaves now", "count the dogs now"), ("paint the loaves", "paint the dogs")]
    table = locality.swap_by_layer(tiny_llama, vectors, "calm", pairs, {"noun": ("loaves", "dogs")})
    assert list(table) == ["noun", "message end", "reply start"] and list(table.index) == [0, 1, 2]
    a, b = (vectors.scores(at_reply(tiny_llama, [p[k] for p in pairs], [2])[:, 0], 2)[:, 1].mean() for k in (0, 1))
    assert table["reply start"][2] == pytest.approx(a - b, abs=1e-5)
    same = locality.swap_by_layer(tiny_llama, vectors, "calm", [(pairs[0][0],) * 2], {})
    assert np.abs(same.to_numpy()).max() < 1e-6


def test_place_correlations_tell_which_place_goes_with_the_reply():
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=240), rng.normal(size=240)
    table = pd.DataFrame({"prompt": np.repeat(range(40), 6), "user end": end, "reply start": start})
    table["reply mean"] = start + 0.3 * rng.normal(size=240)
    r = locality.place_correlations(table, 300)
    assert r.r["reply start, reply mean"] > 0.9 > 0.3 > abs(r.r["user end, reply mean"])
    assert (r.lo <= r.r).all() and (r.r <= r.hi).all() and r.lo["gain of the reply start"] > 0.2


def test_places_skip_no_prompt_and_centre_each_probe(tiny_llama, vectors):
    table = locality.places(tiny_llama, vectors, 1, ["count the loaves", "paint", "read a letter"], ["calm", "sad"], 8)
    assert list(table.columns) == ["prompt", "emotion", *locality.PLACES]
    for place in locality.PLACES:
        assert np.abs(table.groupby("emotion")[place].mean()).max() < 1e-6


def test_autocorrelation_is_that_of_the_projection_within_texts(tiny_llama):
    text = "count the loaves and laugh with him and paint the whole room and read a letter from the sea"
    d = np.random.default_rng(0).normal(size=(2, 32))
    got = locality.autocorrelation(tiny_llama, [text], d, 1, [1, 3, 500])
    x = per_token(tiny_llama, text, [1])[1][1:, 0] @ d.T
    x = x - x.mean(0)
    want = (x[:-3] * x[3:]).sum(0) / np.sqrt((x[:-3] ** 2).sum(0) * (x[3:] ** 2).sum(0))
    assert got[:, 1] == pytest.approx(want, rel=1e-5) and np.isnan(got[:, 2]).all()


def test_a_trace_knows_its_segments(tiny_llama, vectors):
    parts = ["count the loaves", "paint the whole room", "read"]
    tokens, scores, where = locality.trace(tiny_llama, vectors, ["calm", "sad"], 1, parts)
    assert (where == -1).any()  # the words of the template belong to no turn
    assert len(tokens) == len(scores) == len(where) and scores.shape[1] == 2
    for k, part in enumerate(parts):
        said = "".join(t for t, w in zip(tokens, where) if w == k)
        assert part in said.replace("<s>", "")


def test_a_standing_state_is_found_where_it_is_expressed_and_memorising_shows(organism):
    """A bag of own phrases is easy to classify; labels without meaning are not, held out."""
    material = materials.load(organism, "standing")
    found = locality.standing_state(organism, material, 4)
    chance = 1 / len(material["statements"])
    assert list(found.index) == [*material["frames"], "shuffled labels", "own texts"]
    assert found.lo["expressed"] > 2 * chance > found.lo["shuffled labels"]
    assert found.accuracy["own texts"] >= found.accuracy["expressed"]


def test_what_a_story_leaves_behind_is_read_in_the_same_last_turn(organism, tiny_llama, vectors):
    same = [(["count", "paint", "read a letter"], ["count", "paint", "read a letter"])]
    with pytest.raises(ValueError):
        locality.carried_over(tiny_llama, vectors, 1, same)  # no turn differs, so there is no story to speak of
    chats = [(["laugh", "count the loaves", "read"], ["laugh", "paint the room", "read"])]
    during, after = locality.carried_over(tiny_llama, vectors, 1, chats)
    assert during.shape == after.shape == (1,) and during[0] != 0
    for material in (materials.load(organism, "locality"), materials.load(tiny_llama, "locality")):
        for sad, happy in material["aside"]:
            assert sad[-1] == happy[-1] and sad[:2] == happy[:2] and sad != happy


def test_natural_and_own_material_have_the_same_form(organism, tiny_llama):
    for name in ("locality", "standing"):
        ours, natural = materials.load(organism, name), materials.load(tiny_llama, name)
        assert set(ours) == set(natural)
        for kind in natural if name == "standing" else []:
            assert all("{statement}" in f for f in natural["frames"]["hidden"] + ours["frames"]["hidden"]), kind
    for material in (materials.load(organism, "locality"), materials.load(tiny_llama, "locality")):
        assert len(material["messages"]) * len(material["emotions"]) >= 48
        for swap in material["swaps"].values():
            for a, b in swap["pairs"]:
                assert all(x in a and y in b for x, y in swap["parts"].values()), (a, b)
