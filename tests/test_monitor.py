import numpy as np
import pytest
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.reading.activations import per_token
from emotion_concepts.reading.monitor import Monitor, first_alarm, threshold

EMOTIONS = ["afraid", "calm", "desperate"]
PROMPTS = ["count the loaves and laugh", "paint", "read a letter from the sea"]


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS)


def test_any_generate_call_is_read_from_the_prompts_end_to_the_last_but_one_token(tiny_llama, vectors):
    """The scores of a left-padded batch in the library's own generate equal those of reading the finished texts."""
    subject, tok = tiny_llama, tiny_llama.tokenizer
    rows = [subject.encode(p) for p in PROMPTS]
    width = max(map(len, rows))

    def hooks():
        return sum(len(m._forward_hooks) for m in subject.model.modules())

    ids = torch.tensor([[tok.pad_token_id] * (width - len(r)) + r for r in rows])
    mask = (torch.arange(width)[None] >= torch.tensor([[width - len(r)] for r in rows])).long()
    seen, before = [], hooks()
    with Monitor(subject, vectors, ["desperate", "calm"], 1, on_step=lambda k, s: seen.append(s.shape)) as monitor:
        out = subject.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=6, min_new_tokens=6, do_sample=False,
            pad_token_id=tok.pad_token_id,
        )  # fmt: skip
    assert seen == [(3, 2)] * 6 and hooks() == before  # and the model is as before
    for i, row in enumerate(rows):
        whole = row + out[i, width:].tolist()
        with torch.no_grad():
            h = subject.model(torch.tensor([whole]), output_hidden_states=True).hidden_states[2][0].numpy()
        want = vectors.scores(h[len(row) - 1 : len(whole) - 1], 1)[:, [2, 1]]
        assert np.abs(monitor.traces[i] - want).max() < 1e-4


def test_rows_keep_their_traces_in_batches_that_shrink(tiny_llama, vectors):
    monitor = Monitor(tiny_llama, vectors, ["calm"], 2)
    replies = generate(tiny_llama, PROMPTS * 3, 12, seed=4, steering=monitor.rows, progress=False)
    assert list(monitor.traces) == list(range(9))
    for i, (prompt, reply) in enumerate(zip(PROMPTS * 3, replies)):
        trace = monitor.traces[i][:, 0]
        start = vectors.scores(per_token(tiny_llama, prompt, [2])[1][-1:, 0], 2)[0, 1]
        assert 1 <= len(trace) <= 12 and abs(trace[0] - start) < 1e-4, reply


def test_thresholds_keep_their_rate_on_calm_traffic_and_refuse_too_little_of_it():
    rng = np.random.default_rng(0)
    calm = [rng.normal(size=40) for _ in range(400)]
    level = threshold(calm, 0.05)
    assert np.mean([first_alarm(t, level) is not None for t in calm]) == pytest.approx(0.05, abs=0.005)
    assert first_alarm(np.array([0.0, level + 1, 9.0]), level) == 1
    assert first_alarm(np.zeros(3), level) is None
    with pytest.raises(UserError, match="20 or more"):
        threshold(calm[:10], 0.05)
    with pytest.raises(UserError, match="between 0 and 1"):
        threshold(calm, 5)
