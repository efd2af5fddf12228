import contextlib

import numpy as np
import pytest
from conftest import plain_log_probs

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import behaviour
from emotion_concepts.experiments.behaviour import Scenario, act_probabilities, rollouts
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


class Known:
    """A situation whose acts have known wordings."""

    name, harm, acts, marks, temperature = "blackmail", "yes", ("yes", "no"), {}, 1.0
    messages = ["count the loaves", "paint", "read"]
    told = {"calm": ["at rest, count the loaves", "at rest, paint", "at rest, read"]}
    scenarios = [behaviour.Scenario(m, {"yes": ("I will",), "no": ("never",)}) for m in messages]


class Natural(Known):
    """The same where replies must be written and read; ``calls`` holds how many were read at once."""

    scenarios, marks = None, {"long": lambda reply, outcome: len(reply) > 12}

    def __init__(self, read=lambda reply: "yes" if reply[:1] < "m" else "neither"):
        self.calls, self._read = [], read

    def outcomes(self, replies, items):
        self.calls.append(len(replies))
        return [self._read(r) for r in replies]


def direction(subject, seed=1):
    return np.random.default_rng(seed).normal(size=subject.width).astype(np.float32)


def test_exact_responses_hold_the_unsteered_point_and_every_act(tiny_llama):
    table = behaviour.responses(
        tiny_llama,
        Known,
        {"x": direction(tiny_llama), "y": direction(tiny_llama, 2)},
        (-0.5, 0.5),
        [1],
        np.full(3, 2.0),
    )
    yes = behaviour.response(tiny_llama, Known, "yes", {"x": direction(tiny_llama)}, (-0.5, 0.5), [1], np.full(3, 2.0))
    assert list(yes.strength) == [-0.5, 0.0, 0.5] and yes.p.nunique() == 3
    rest = act_probabilities(tiny_llama, Known.scenarios)[1][0, :, 0]
    for name in ("x", "y"):
        both = [behaviour.curve(table[table.act == act], name) for act in Known.acts]
        assert np.allclose(both[0] + both[1], 1) and both[0][0.0] == pytest.approx(rest.mean(), abs=1e-6)
    assert np.allclose(behaviour.curve(table[table.act == "yes"], "x", "items")[0.0], rest, atol=1e-6)
    assert list(behaviour.curve(table[table.act == "yes"], "x")) == pytest.approx(list(yes.p), abs=1e-6)


def test_the_unsteered_subject_is_sampled_once_for_all_directions(tiny_llama, monkeypatch):
    written, plain = [], behaviour.generate

    def counted(subject, prompts, *args, **options):
        written.append(len(prompts))
        return plain(subject, prompts, *args, **options)

    monkeypatch.setattr(behaviour, "generate", counted)
    natural = Natural()
    names = {str(k): direction(tiny_llama, k) for k in (1, 2)}
    table = behaviour.responses(
        tiny_llama, natural, names, (-0.4, 0.4), [1], np.full(3, 2.0), n=4, max_new_tokens=6
    )  # fmt: skip
    assert written == natural.calls == [4 * (1 + 2 * 2)]  # rest and two signs of two directions, read in one call
    assert len(table) == (len(Natural.acts) + 1) * 2 * 3 and set(table.act) == {"yes", "no", "long"}
    rest = table[(table.strength == 0) & (table.act == "yes")]
    assert (rest["items"].iloc[0] == rest["items"].iloc[1]).all() and len(rest["items"].iloc[0]) == 4


def test_replies_at_rest_that_are_already_there_are_the_rest_of_every_curve(tiny_llama):
    rest = behaviour.acted(tiny_llama, Natural(lambda reply: "yes"), [0, 1], n=6, max_new_tokens=4)
    natural = Natural(lambda reply: "no")
    table = behaviour.responses(
        tiny_llama, natural, {"x": direction(tiny_llama)}, (0.4,), [1], np.full(3, 2.0), [0, 1], 4, 0, 4, rest
    )
    assert natural.calls == [4] and list(behaviour.curve(table[table.act == "yes"], "x")) == [1.0, 0.0]
    assert behaviour.contrast(table[table.act == "yes"], "x", 0.4).value == -1.0


def test_a_model_without_a_template_is_not_read_beyond_its_own_turn(tiny_llama, monkeypatch):
    written = ["I will.\n\nHuman: And now?\n\nAssistant: Never.", "Human: no turn of its own", "as is"]
    monkeypatch.setattr(behaviour, "generate", lambda *args, **options: list(written))
    table = rollouts(tiny_llama, ["paint"], 3, lambda replies, numbers: replies, progress=False)
    assert list(table.reply) == list(table.outcome) == ["I will.", written[1], "as is"]


def test_replies_that_a_judge_left_open_count_nowhere(tiny_llama):
    judged = iter(["yes", None, "neither", "yes", *["yes"] * 4])
    natural = Natural(lambda reply: next(judged))
    table = behaviour.responses(
        tiny_llama, natural, {"x": direction(tiny_llama)}, (0.4,), [1], np.full(3, 2.0), n=4, max_new_tokens=3
    )
    yes = table[table.act == "yes"]
    assert list(behaviour.curve(yes, "x")) == pytest.approx([2 / 3, 1]) and len(yes["items"].iloc[0]) == 4
    rise = behaviour.contrast(yes, "x", 0.4)  # the open reply and its partner go
    assert rise.value == pytest.approx(1 / 3) and rise.lo <= 1 / 3 <= rise.hi
    judged = iter("yyyy")
    silent = Natural(lambda reply: next(judged, None))
    with pytest.raises(UserError, match="no reply under x at 0.4 could be judged"):
        behaviour.responses(
            tiny_llama, silent, {"x": direction(tiny_llama)}, (0.4,), [1], np.full(3, 2.0), n=4, max_new_tokens=3
        )


def test_room_for_an_effect_depends_on_the_base_rate_of_real_models_alone(tiny_llama):
    assert [behaviour.has_room(tiny_llama, p) for p in (0.0, 0.04, 0.05, 0.6, 0.61)] == [
        False,
        False,
        True,
        True,
        False,
    ]

    class Organism:
        world = object()

    assert behaviour.has_room(Organism, 0.0)


def test_rollouts_mix_conditions_without_changing_any(tiny_llama):
    messages, norms = ["count the loaves", "paint"], np.full(3, 2.0)
    steered = Condition(direction(tiny_llama), 0.8)
    read = lambda replies, numbers: [len(r) > 12 for r in replies]  # noqa: E731
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
