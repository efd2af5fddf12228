import contextlib

import numpy as np
import pytest
from conftest import plain_log_probs

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.behaviour import Scenario, act_probabilities, dose_response, rollouts
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import Condition, steer
from organism.scenarios import act_in, scenarios

PROMPTS = ["count the loaves", "paint the whole room", "read"]
ENDINGS = [[" and laugh with him", " again"], [" by noon", " and wait for a letter from the sea"], [" it"]]


def test_continuations_after_a_shared_prompt_equal_plain_scoring(tiny):
    """One prompt at a time, with and without steering of every token, against one pass for all."""
    rng, norms = np.random.default_rng(0), np.full(3, 2.0)
    conditions = [Condition(rng.normal(size=tiny.width).astype(np.float32), s) for s in (0.4, -0.6)] + [None]
    got = grouped_log_probs(tiny, PROMPTS, ENDINGS, conditions, [1], norms)
    for prompt, endings, condition, row in zip(PROMPTS, ENDINGS, conditions, got):
        steering = contextlib.nullcontext
        if condition:
            steering = lambda *_, c=condition: steer(tiny, c.vector, c.strength, [1], norms)  # noqa: E731
        want = plain_log_probs(tiny, [prompt] * len(endings), endings, steering)
        assert np.abs(row - want).max() < 1e-3
    plain = grouped_log_probs(tiny, PROMPTS, ENDINGS)
    assert np.abs(plain[0] - got[0]).max() > 1e-2 and np.abs(plain[2] - got[2]).max() < 1e-3


def test_a_continuation_must_not_change_its_prompt(tiny_llama):
    with pytest.raises(UserError, match="begin (it )?with a space"):
        grouped_log_probs(tiny_llama, ["count the loav"], [["es"]])


def test_act_probabilities_sum_wordings_and_say_how_much_they_cover(tiny_llama):
    one = Scenario("count the loaves", {"yes": ("I will", "of course"), "no": ("never",)})
    acts, p, covered = act_probabilities(tiny_llama, [one, one])
    prompt = tiny_llama.prompt.chat(one.message)
    logp = plain_log_probs(tiny_llama, [prompt] * 3, [" I will", " of course", " never"])
    total = np.exp(logp).sum()
    assert acts == ["yes", "no"] and p.shape == (1, 2, 2)
    assert p[0, 0] == pytest.approx([np.exp(logp[:2]).sum() / total, np.exp(logp[2]) / total], rel=1e-3)
    assert covered[0, 0] == pytest.approx(total, rel=1e-3) and total < 1


def test_dose_response_holds_the_unsteered_point_and_moves_with_the_dose(tiny_llama):
    one = Scenario("count the loaves", {"yes": ("I will",), "no": ("never",)})
    direction = np.random.default_rng(1).normal(size=tiny_llama.width).astype(np.float32)
    table = dose_response(tiny_llama, [one] * 3, "yes", {"x": direction}, (-0.5, 0.5), [1], np.full(3, 2.0))
    assert list(table.strength) == [-0.5, 0.0, 0.5]
    rest = act_probabilities(tiny_llama, [one])[1][0, 0, 0]
    assert table.p.iloc[1] == pytest.approx(rest) and table.p.nunique() == 3


def test_rollouts_mix_conditions_without_changing_any(tiny_llama):
    direction = np.random.default_rng(1).normal(size=tiny_llama.width).astype(np.float32)
    messages, norms = ["count the loaves", "paint"], np.full(3, 2.0)
    steered = Condition(direction, 0.8)
    read = lambda reply, message: len(reply) > 12  # noqa: E731
    both = rollouts(tiny_llama, messages, 4, read, [None, steered], [1], norms, 8, progress=False)
    assert list(both.message) == [0, 1, 0, 1] * 2 and both.outcome.dtype == bool
    alone = rollouts(tiny_llama, messages, 4, read, [None], max_new_tokens=8, progress=False)
    assert list(both.reply[:4]) == list(alone.reply)
    assert list(both.reply[4:]) != list(both.reply[:4])


def test_scenarios_are_reserved_and_their_acts_are_told_apart():
    for name in ("blackmail", "cheat", "judge"):
        made = scenarios(name, 12)
        assert len({s["message"] for s in made}) > 6
        for s in made:
            for act, wordings in s["acts"].items():
                assert all(act_in(text + " Rita and more.", s["acts"]) == act for text in wordings), wordings
            assert act_in("I sat by the window.", s["acts"]) == "neither"
            (first, *_), (second, *_) = list(s["acts"].values())[:2]
            assert act_in(f"{first} and so on. {second} too.", s["acts"]) == "neither"


def test_scenarios_carry_pressure_only_when_asked():
    calm, pressed = scenarios("cheat", 3), scenarios("cheat", 3, "desperate", 3, attempts=2)
    assert all(b["message"].count("failed") >= 2 > a["message"].count("failed") for a, b in zip(calm, pressed))
