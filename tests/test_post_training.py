"""What post-training does to readings: shifts, their nulls, and both models at the same tokens."""

import re

import numpy as np
import pytest

from emotion_concepts.experiments import post_training
from emotion_concepts.texts.materials import natural
from emotion_concepts.texts.published import emotion_words

EMOTIONS = sorted(emotion_words()[:20])


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS, origin=False)


def states(rng, mean, n=40, noise=0.5):
    """Unit states (n, layers, width) about a mean (layers, width)."""
    x = mean + noise * rng.normal(size=(n, *mean.shape)) / np.sqrt(mean.shape[-1])
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_a_shift_is_post_minus_base_and_grows_where_it_was_made_to(vectors):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(3, 32)) / np.sqrt(32)
    moved = mean + np.array([0.02, 0.1, 0.6])[:, None] * vectors.vectors[:, EMOTIONS.index("afraid")]
    base, post = (states(rng, m, 200, 0.05) for m in (mean, moved))
    before, after = (post_training.mean_readings(x, vectors) for x in (base, post))
    table = post_training.shift(before[2], after[2], EMOTIONS)
    assert table["shift"].idxmax() == "afraid" and np.allclose(table["shift"], table.post - table.base)
    by_layer = post_training.shift_by_layer(base, post, vectors)
    assert by_layer.shape == (3,) and by_layer[0] < by_layer[1] < by_layer[2]
    ratio, chance = post_training.growth(base, post, vectors, 50)
    assert ratio.lo <= ratio.value <= ratio.hi and ratio.value == pytest.approx(by_layer[2] / by_layer[0])
    assert chance > 2  # states that moved further do so to whatever probes: growth alone says nothing of emotions


def test_rotations_keep_lengths_and_angles_and_draw_the_rest_anew():
    x = np.random.default_rng(1).normal(size=(2, 24)).astype(np.float32)
    turned = post_training.rotated(x, 30)
    assert turned.shape == (30, 2, 24)
    assert np.allclose(turned @ turned.transpose(0, 2, 1), x @ x.T, atol=1e-3)
    assert abs(np.mean(turned @ x[0])) < 0.5 * np.linalg.norm(x[0]) ** 2


def test_states_that_agree_do_so_to_rotated_probes_too(vectors):
    """Nearly the same state is read alike by any probes: r is high and no higher than its null."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=32)
    alike, null = post_training.held_against_chance(x, x + 0.05 * rng.normal(size=32), vectors.at(1))
    assert alike.value > 0.9 and null > 0.9
    apart, null = post_training.held_against_chance(x, rng.normal(size=32), vectors.at(1))
    assert null < 0.75 and abs(apart.value) < 0.75


def test_the_shift_is_reliable_where_messages_agree_on_it(vectors):
    rng = np.random.default_rng(3)
    mean = rng.normal(size=(1, 32))
    base, post = states(rng, mean), states(rng, mean + rng.normal(size=(1, 32)))
    again = states(rng, mean)
    probes = vectors.at(0)
    assert post_training.reliability(base[:, 0], post[:, 0], probes) > 0.9
    assert post_training.reliability(base[:, 0], again[:, 0], probes) < 0.8


def test_both_models_read_the_same_tokens_and_the_plain_format_needs_no_template(organism, organism_base, tiny_llama):
    base = post_training.reading_alike(organism_base, organism)
    assert base.prompt is organism.prompt and base.model is organism_base.model
    plain = post_training.in_plain_format(organism)
    assert plain.prompt.chat("Hello.").startswith("Human: Hello.") and organism.prompt.has_template
    assert post_training.in_plain_format(tiny_llama).prompt.chat("Hello.").endswith("Assistant:")


def test_messages_are_of_both_kinds_and_equally_many_of_every_theme(organism, tiny_llama):
    for subject in (organism, tiny_llama):
        themes, neutral = post_training.prompts(subject, 24)
        assert len({len(messages) for messages in themes.values()}) == 1 and len(neutral) == 24
        assert 20 <= sum(map(len, themes.values())) <= 33


def test_natural_messages_challenge_without_naming_a_feeling():
    themes, known = natural("challenging"), set(natural("neutral")["questions"])
    neutral = themes.pop("neutral")
    every = [m for messages in themes.values() for m in messages]
    assert len(every) >= 60 and len(neutral) >= 60 and len(themes) >= 8
    assert len({*every, *neutral}) == len(every) + len(neutral) and not known & {*every, *neutral}
    for message in [*every, *neutral]:
        assert not set(re.findall(r"[a-z]+", message.lower())) & set(emotion_words()), message
