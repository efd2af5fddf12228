"""Steering where a subject acts: the block that does as words do, and the largest dose that leaves language whole."""

import copy

import numpy as np
import pandas as pd
import pytest
from conftest import plain_log_probs
from test_behaviour import Known, Natural

from emotion_concepts.experiments import dose
from emotion_concepts.experiments.behaviour import acted, responses
from emotion_concepts.lm.scoring import token_nats
from emotion_concepts.lm.steering import Condition, steer
from emotion_concepts.lm.subject import wrap

NORMS = np.full(3, 2.0)


class Vectors:
    """A direction for each of two emotions at every block."""

    @staticmethod
    def of(emotion, layer):
        rng = np.random.default_rng([layer, len(emotion)])
        return rng.normal(size=32).astype(np.float32) / 6


class Spoken(Natural):
    def sensible(self, reply, i):
        return len(reply.split()) > 1


def test_nats_of_replies_are_those_of_plain_scoring(tiny_llama):
    messages, replies = ["paint", "read", "paint"], ["I will", "never mind", "of course"]
    condition = Condition(Vectors.of("calm", 1), 0.5)
    got = dose.reply_nats(tiny_llama, messages, replies, [None, condition], [1], NORMS)
    prompts = [tiny_llama.prompt.chat(m) for m in ("paint", "paint", "read")]
    after = [" I will", " of course", " never mind"]  # message by message
    tokens = [len(tiny_llama.encode(p + t)) - len(tiny_llama.encode(p)) for p, t in zip(prompts, after)]
    context = lambda: steer(tiny_llama, condition.vector, 0.5, [1], NORMS)  # noqa: E731
    want = [-plain_log_probs(tiny_llama, prompts, after, c) / tokens for c in (lambda: steer(
        tiny_llama, condition.vector, 0.0, [1], NORMS), context)]  # fmt: skip
    assert np.abs(got - want).max() < 1e-3 and np.abs(got[0] - got[1]).max() > 1e-2


def test_a_template_that_puts_no_space_before_replies_gets_none(tiny_llama, monkeypatch):
    """A space that no model wrote would be scored as the reply's first token."""
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    tokenizer = copy.deepcopy(tiny_llama.tokenizer)
    tokenizer.chat_template = template
    subject = wrap(tiny_llama.model, tokenizer, "bare")
    got = dose.reply_nats(subject, ["paint"], ["I will"], [None], [1], NORMS)
    text, head = "<user>paint<assistant>I will", "<user>paint<assistant>"
    ids, n = subject.encode(text), len(subject.encode(head))
    want = token_nats(subject, [text])[0][n - 1 :].mean()
    assert ids[:n] == subject.encode(head) and got == pytest.approx(np.array([[want]]), abs=1e-4)
    assert np.isnan(dose.reply_nats(subject, ["paint"], [" "], [None, None], [1], NORMS)).all()


def test_a_block_is_judged_by_exact_rates_where_the_wordings_are_known(tiny_llama):
    found = dose.block_effects(tiny_llama, Known, ("calm", "angry"), Vectors, [0, 2], 0.5, NORMS, [0, 2])
    for k in (0, 2):
        directions = {e: Vectors.of(e, k) for e in ("calm", "angry")}
        table = responses(tiny_llama, Known, directions, [0.5], [k], NORMS, [0, 2])
        p = table[(table.act == "yes") & (table.strength == 0.5)].set_index("direction").p
        assert found[k] == pytest.approx(p["calm"] - p["angry"])


def test_elsewhere_a_block_is_judged_by_the_replies_that_words_called_forth(tiny_llama):
    """Replies written under steering at a block stand for those of a told emotion."""
    written = {
        e: acted(tiny_llama, Natural(), [0, 1], n=12, conditions=[Condition(Vectors.of(e, 1), 2.0)], layers=[1],
                 norms=NORMS, max_new_tokens=12)
        for e in ("calm", "angry")
    }  # fmt: skip
    args = tiny_llama, Natural(), ("calm", "angry"), Vectors, [0, 1], 1.0, NORMS, [0, 1]
    found = dose.block_effects(*args, written)
    assert found[1] > 0  # each vector makes likelier what it brought about
    swapped = dose.block_effects(*args, {"calm": written["angry"], "angry": written["calm"]})
    assert list(swapped) == pytest.approx(list(-found))


def test_coherence_is_measured_on_the_task_itself(tiny_llama):
    natural = Spoken()
    rest = acted(tiny_llama, natural, [0, 1], n=4, max_new_tokens=12)
    directions = {"x": Vectors.of("calm", 1), "y": Vectors.of("angry", 1)}
    table = dose.on_the_task(
        tiny_llama, [(natural, [0, 1], rest)], directions, (-0.5, 8.0), [1], NORMS, n=4, max_new_tokens=12
    )
    assert len(table) == 2 * 3 and list(table.columns[:3]) == ["direction", "strength", "situation"]
    plain = table[table.strength == 0]
    own = dose.reply_nats(tiny_llama, [Known.messages[m] for m in rest.message], list(rest.reply), [None], [1], NORMS)
    assert plain.perplexity.to_numpy() == pytest.approx([np.exp(own.mean())] * 2, rel=1e-4)
    conditions = [None, *(Condition(directions[d], s) for d in "xy" for s in (-0.5, 8.0))]
    steered = acted(tiny_llama, natural, [0, 1], n=4, conditions=conditions, layers=[1], norms=NORMS, max_new_tokens=12)
    strong = table[(table.strength == 8.0) & (table.direction == "y")].iloc[0]
    nats = dose.reply_nats(
        tiny_llama, [Known.messages[m] for m in rest.message], list(rest.reply), [Condition(directions["y"], 8.0)], [1],
        NORMS,
    )  # fmt: skip
    assert strong.perplexity == pytest.approx(np.exp(nats.mean()), rel=1e-4)
    assert strong.sensible == np.mean([len(r.split()) > 1 for r in steered.reply[steered.condition == 4]])


def told(rows):
    columns = ["direction", "strength", "situation", "perplexity", "repetition", "sensible"]
    return pd.DataFrame(rows, columns=columns)


def test_the_largest_coherent_strength_is_one_that_breaks_no_task():
    rest = [("x", 0.0, "a", 5.0, 0.1, 1.0), ("x", 0.0, "b", 9.0, 0.0, 0.5)]
    tasks = (("a", 9.9, 0.9), ("b", 17, 0.5))
    whole = [(d, s, t, p, 0.1, good) for d in "xy" for s in (-0.1, 0.1) for t, p, good in tasks]
    assert dose.largest_coherent(told(rest + whole)) == 0.1
    again = [(d, s / 2, t, p, r, good) for d, s, t, p, r, good in whole]
    one_direction = ("y", -0.1, "a", 10.1, 0.1, 1.0)  # its own replies become unlikely: enough to refuse the strength
    one_task = [("z", s, "b", 9.0, r, good) for s in (-0.1, 0.1) for r, good in ((0.4, 0.5), (0.1, 0.0))]
    for broken in ([one_direction], one_task[::2], one_task[1::2]):
        assert dose.largest_coherent(told([*rest, *whole, *broken])) is None
        assert dose.largest_coherent(told([*rest, *whole, *again, *broken])) == 0.05
    one_reply = ("z", 0.1, "a", 5.0, 0.2, 0.5)  # of a few, which the others of the task make up for
    assert dose.largest_coherent(told([*rest, *whole, one_reply])) == 0.1
    stronger = [(d, 4 * s, t, p, r, good) for d, s, t, p, r, good in whole]
    between = ("x", 0.2, "a", 99.0, 0.0, 1.0)  # above a strength that breaks it nothing is trusted
    assert dose.largest_coherent(told([*rest, *whole, between, *stronger])) == 0.1
