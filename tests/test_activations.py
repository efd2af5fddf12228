import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_subject
from torch.utils._python_dispatch import TorchDispatchMode

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_left, pad_right
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.steering import steer
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.reading import activations as act
from emotion_concepts.reading import shards
from emotion_concepts.reading.monitor import Monitor
from emotion_concepts.reading.pooling import Last, MeanFrom, Spans, span_of
from emotion_concepts.reading.vectors import principal_components


def reference(subject, text):
    """hidden_states of the text alone, (layers, tokens, width); the last one is after the final norm."""
    ids = torch.tensor([subject.encode(text)])
    with torch.no_grad():
        out = subject.model(ids, output_hidden_states=True)
    return torch.stack(out.hidden_states[1:])[:, 0].numpy()


def final_norm(subject):
    base = subject.model.base_model
    return next(m for n, m in base.named_children() if n in ("norm", "ln_f", "final_layer_norm"))


def test_hook_is_hidden_states(tiny, texts):
    """Layer i is hidden_states[i + 1] (hazard 4), for families whose blocks return tensors or tuples (hazard 3)."""
    for text in texts:
        _, got = act.per_token(tiny, text)
        want = reference(tiny, text)
        assert np.abs(got[:, :-1].transpose(1, 0, 2) - want[:-1]).max() < 1e-4
        with torch.no_grad():
            last = final_norm(tiny)(torch.from_numpy(got[:, -1])).numpy()
        assert np.abs(last - want[-1]).max() < 1e-4


def test_batch_is_single(tiny, texts):
    """A text pools to the same numbers alone and in a ragged batch (hazard 1)."""
    together = act.pooled(tiny, texts, MeanFrom(2), progress=False)
    for i, text in enumerate(texts):
        alone = act.pooled(tiny, [text], MeanFrom(2), progress=False)[0]
        assert np.abs(together[i] - alone).max() < 1e-4
        mean = reference(tiny, text)[0, 2:].mean(0)
        assert np.abs(alone[0] - mean).max() < 1e-4


def test_left_is_right(tiny, texts):
    """Left padding with position ids gives what right padding gives; without them it may not (hazard 1)."""
    rows = [tiny.encode(t) for t in texts]
    ids, mask, positions = pad_left(rows, 0)
    with torch.no_grad():
        left = tiny.model(ids, attention_mask=mask, position_ids=positions, output_hidden_states=True).hidden_states[2]
    right = act.pooled(tiny, texts, Last(), [1], progress=False)[:, 0]
    assert np.abs(left[:, -1].numpy() - right).max() < 1e-4


def test_skip_counts_tokens_of_the_text(tiny_llama, texts):
    """Skipping n tokens means the text's tokens, not the batch's columns (hazard 2)."""
    got = act.pooled(tiny_llama, texts, MeanFrom(3), [0], progress=False)[:, 0]
    for i, text in enumerate(texts):
        assert np.abs(got[i] - reference(tiny_llama, text)[0, 3:].mean(0)).max() < 1e-5


def test_spans_and_last(tiny_llama, texts):
    text = texts[2]
    start, end = span_of(tiny_llama, text, "laughed", 1)
    decoded = tiny_llama.tokenizer.decode(tiny_llama.encode(text)[start:end])
    assert decoded.strip() == "laughed"
    got = act.pooled(tiny_llama, [text], Spans(((start, end),)), [1], progress=False)[0, 0]
    assert np.abs(got - reference(tiny_llama, text)[1, start:end].mean(0)).max() < 1e-5
    last = act.pooled(tiny_llama, [text], Last(), [0], progress=False)[0, 0]
    assert np.abs(last - reference(tiny_llama, text)[0, -1]).max() < 1e-5
    with pytest.raises(UserError, match="does not occur"):
        span_of(tiny_llama, text, "zebra")


def test_stops_early_and_never_runs_the_head(tiny_llama, texts):
    ran = []
    head = tiny_llama.model.lm_head.register_forward_hook(lambda *_: ran.append("head"))
    last = tiny_llama.model.model.layers[2].register_forward_hook(lambda *_: ran.append("block 2"))
    act.pooled(tiny_llama, texts, Last(), [0, 1], progress=False)
    head.remove(), last.remove()
    assert ran == []


def test_resume_gives_the_same_numbers(tiny_llama, texts, tmp_path, monkeypatch):
    """A run killed half-way goes on from its shards, bit for bit, and does not compute them again."""
    texts = texts * 8
    whole = act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=100, progress=False)
    real, calls = act._pool_batch, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(act, "_pool_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=100, store=tmp_path, progress=False)
    done = len(calls) - 1
    resumed = act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=100, store=tmp_path, progress=False)
    assert np.array_equal(whole, resumed)
    n = len(calls)
    act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=100, store=tmp_path, progress=False)
    assert done == 3 and len(calls) == n


def test_damaged_and_foreign_shards_are_refused(tiny_llama, texts, tmp_path):
    read = lambda: act.pooled(tiny_llama, texts, Last(), store=tmp_path, progress=False)  # noqa: E731
    want = read().copy()
    (folder,) = tmp_path.iterdir()
    whole = {name: (folder / name).read_bytes() for name in ("values.npy", "index.jsonl", "key.json")}
    for name, content in [
        ("values.npy", whole["values.npy"][:-7] + b"garbage"),
        ("values.npy", whole["values.npy"][:-7]),
        ("values.npy", b"garbage"),
        ("index.jsonl", whole["index.jsonl"] + b'{"rows": [0'),
        ("index.jsonl", whole["index.jsonl"] + b'{"rows": [99], "sha256": ""}\n'),
        ("key.json", whole["key.json"].replace(tiny_llama.model_id.encode(), b"another:model")),
    ]:
        (folder / name).write_bytes(content)
        with pytest.raises(UserError, match="damaged; delete it or use --fresh"):
            read()
        (folder / name).write_bytes(whole[name])
    (folder / "values.npy").unlink()
    with pytest.raises(UserError, match="damaged"):
        read()
    (folder / "index.jsonl").unlink()  # killed before the array was made
    assert np.array_equal(read(), want)


def test_each_key_has_shards_of_its_own(tiny_llama, texts, tmp_path, monkeypatch):
    """Other texts or another model neither meet nor replace what is stored."""
    other = make_subject("gpt2")
    calls = [(tiny_llama, texts), (tiny_llama, texts[:2]), (other, texts)]
    stored = [act.pooled(s, t, Last(), store=tmp_path, progress=False) for s, t in calls]
    assert len(list(tmp_path.iterdir())) == 3
    for (s, t), got in zip(calls, stored):
        assert np.array_equal(got, act.pooled(s, t, Last(), progress=False))
    monkeypatch.setattr(act, "_pool_batch", None)  # nothing is computed again
    for (s, t), got in zip(calls, stored):
        assert np.array_equal(got, act.pooled(s, t, Last(), store=tmp_path, progress=False))


def test_what_is_stored_is_mapped_and_kept_from_change(tiny_llama, texts, tmp_path):
    got = act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=60, store=tmp_path, progress=False)
    assert isinstance(got, np.memmap) and got.dtype == np.float32
    assert np.array_equal(got, act.pooled(tiny_llama, texts, MeanFrom(1), token_budget=60, progress=False))
    with pytest.raises(ValueError, match="read-only"):
        got[0] = 0


def test_a_store_that_finds_no_room_is_refused(tiny_llama, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(shards.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(UserError, match="choose another --out or a smaller --profile"):
        act.pooled(tiny_llama, texts, Last(), store=tmp_path, progress=False)
    with pytest.raises(UserError, match="corpus is empty"):
        act.pooled(tiny_llama, [], Last(), store=tmp_path, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .*choose another --out"):
        act.pooled(tiny_llama, texts, Last(), store=tmp_path / "file", progress=False)


def test_out_of_memory_halves_the_batch(tiny_llama, texts, monkeypatch):
    real, sizes = act._pool_batch, []

    def small(subject, rows, *rest):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(subject, rows, *rest)

    want = act.pooled(tiny_llama, texts, MeanFrom(1), progress=False)
    monkeypatch.setattr(act, "_pool_batch", small)
    got = act.pooled(tiny_llama, texts, MeanFrom(1), progress=False)
    assert np.abs(got - want).max() < 1e-5 and max(sizes) == 5

    def broken(*_):
        raise RuntimeError("some other fault")

    monkeypatch.setattr(act, "_pool_batch", broken)
    with pytest.raises(RuntimeError, match="other fault"):
        act.pooled(tiny_llama, texts, MeanFrom(1), progress=False)


def test_nan_is_named(tiny_llama, texts, monkeypatch):
    real = act._pool_batch

    def nan(*args):
        out = real(*args)
        out[-1, 1, 3] = np.nan
        return out

    monkeypatch.setattr(act, "_pool_batch", nan)
    with pytest.raises(UserError, match="text 3 at layer 1"):  # the shortest text is last in its batch
        act.pooled(tiny_llama, texts, Last(), progress=False)


@pytest.mark.parametrize(
    ("texts_", "rule", "layers", "message"),
    [
        ([], Last(), None, "corpus is empty"),
        (["Hi."], MeanFrom(50), None, "no more than the 50 to skip"),
        (["Hi."], Last(), [3], "layer 3 is out of range"),
        (["Hi."], Last(), [], "no layers"),
    ],
)
def test_bad_input(tiny_llama, texts_, rule, layers, message):
    with pytest.raises(UserError, match=message):
        act.pooled(tiny_llama, texts_, rule, layers, progress=False)


def test_covariance_and_norm(tiny_llama, texts):
    n, mean, cov = act.streamed_covariance(tiny_llama, texts, [0, 2], skip=1, token_budget=60)
    tokens = np.concatenate([act.per_token(tiny_llama, t, [0, 2])[1][1:] for t in texts]).astype(np.float64)
    assert n == len(tokens)
    for k in range(2):
        assert np.allclose(mean[k], tokens[:, k].mean(0), atol=1e-5)
        assert np.allclose(cov[k], np.cov(tokens[:, k].T, bias=True), atol=1e-4)
    norm = act.mean_norm(tiny_llama, texts, [0, 2], skip=1)
    assert np.allclose(norm, np.linalg.norm(tokens, axis=-1).mean(0), rtol=1e-5)


def test_buckets_and_padding():
    lengths = [5, 80, 3, 40, 40, 7]
    buckets = length_buckets(lengths, 100, 3)
    assert sorted(i for b in buckets for i in b) == list(range(6))
    for b in buckets:
        assert len(b) <= 3 and (len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 100)
    ids, mask = pad_right([[4, 5], [6]], 0)
    assert ids.tolist() == [[4, 5], [6, 0]] and mask.tolist() == [[True, True], [True, False]]
    ids, mask, positions = pad_left([[4, 5], [6]], 0)
    assert ids.tolist() == [[4, 5], [0, 6]] and positions.tolist() == [[0, 1], [0, 0]]


def test_many_places_of_a_text_are_read_in_one_pass(tiny, texts):
    """Batched reading agrees with one text a pass, token by token and span by span."""
    spans = [((0, 1), (1, 4)), ((2, 3), (0, 5)), ((4, 9), (1, 2)), ((0, 2), (1, 3)), ((3, 8), (5, 6))]
    got = act.at_spans(tiny, texts, spans, [0, 2], token_budget=40)
    each = dict(act.each_token(tiny, texts, [0, 2], token_budget=40))
    for i, text in enumerate(texts):
        alone = act.per_token(tiny, text, [0, 2])[1]
        assert each[i] == pytest.approx(alone, abs=1e-4)
        for k, (a, b) in enumerate(spans[i]):
            assert got[i, k] == pytest.approx(alone[a:b].mean(0), abs=1e-4)
    with pytest.raises(UserError, match="empty span"):
        act.at_spans(tiny, texts[:1], [((3, 3),)], [1])


def plain_states(subject, texts, layer, skip=1):
    """The model's own hidden states of the texts' tokens from ``skip`` on, (tokens, width)."""
    return np.concatenate([reference(subject, t)[layer, skip:] for t in texts]).astype(np.float64)


def test_spans_choose_the_tokens_that_count(tiny_llama, texts):
    spans = [((2, 4), (5, 6)), (), ((1, 3),), ((0, 2),), ()]
    places = [(t, k) for t, parts in zip(texts, spans) for a, b in parts for k in range(a, b) if k]
    chosen = np.stack([reference(tiny_llama, t)[1, k] for t, k in places])
    norm = act.mean_norm(tiny_llama, texts, [1], spans=spans)[0]
    n, mean, covariance = act.streamed_covariance(tiny_llama, texts, [1], token_budget=60, spans=spans)
    assert n == len(chosen) == 6 and np.allclose(mean[0], chosen.mean(0), atol=1e-5)
    assert np.isclose(norm, np.linalg.norm(chosen, axis=1).mean(), rtol=1e-5)
    assert np.allclose(covariance[0], np.cov(chosen.T, bias=True), atol=1e-4)


@pytest.fixture(scope="module")
def massive(tiny_llama):
    """A model that puts one huge direction on the full stop, as real ones do on tokens of their templates."""
    model = copy.deepcopy(tiny_llama.model)
    stop = tiny_llama.tokenizer(".", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        model.model.embed_tokens.weight[stop] = 2000 * torch.nn.functional.normalize(torch.ones(32), dim=0)
    return wrap(model, tiny_llama.tokenizer, "massive")


def test_massive_activations_stay_out_of_norms_and_covariances(massive, texts):
    """Else they are the unit of steering, and the one direction that is projected out of the vectors."""
    states = plain_states(massive, texts, 1)
    norms = np.linalg.norm(states, axis=1)
    ordinary = states[norms < 10 * np.median(norms)]
    assert 3 < len(states) - len(ordinary) < 9 and norms.mean() > 5 * np.median(norms)
    assert np.isclose(act.mean_norm(massive, texts, [1])[0], np.linalg.norm(ordinary, axis=1).mean(), rtol=1e-4)
    n, mean, covariance = act.streamed_covariance(massive, texts, [1], token_budget=10**6)
    assert n == len(ordinary) and np.allclose(mean[0], ordinary.mean(0), atol=1e-3)
    assert len(principal_components(np.cov(states.T))) == 1 < len(principal_components(covariance[0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_overflows_is_no_ordinary_state(tiny_llama, texts, bad):
    """Left out quietly, norms and covariances would be those of the tokens that happened not to overflow."""
    model = copy.deepcopy(tiny_llama.model)
    subject = wrap(model, tiny_llama.tokenizer, "overflows")

    def overflow(module, inputs, out):
        (out[0] if isinstance(out, tuple) else out)[0, -1, 3] = bad
        return out

    model.model.layers[1].register_forward_hook(overflow)
    for read in (act.mean_norm, act.streamed_covariance):
        with pytest.raises(UserError, match="NaN or Inf in the activations; load the model in float32"):
            read(subject, texts)


def test_a_layer_that_does_not_run_or_gives_another_shape_raises(tiny_llama, texts):
    """Its activations would be zeros, or whatever lay in the memory."""
    architecture = tiny_llama.architecture
    unseen = replace(architecture, blocks=[*architecture.blocks[:2], "lm_head"])
    odd = replace(architecture, width=31)
    for changed, message in (
        (unseen, "block lm_head of llama did not run"),
        (odd, r"gives \(.*, 32\), not \(.*, 31\)"),
    ):
        subject = copy.copy(tiny_llama)
        subject.architecture = changed
        for read in (
            lambda s: act.pooled(s, texts, Last(), progress=False),
            lambda s: act.per_token(s, texts[0]),
            lambda s: act.mean_norm(s, texts),
            lambda s: act.streamed_covariance(s, texts),
        ):
            with pytest.raises(UserError, match=message):
                read(subject)


@pytest.fixture
def mixed(tiny_llama):
    """A model one of whose blocks computes in another number format than the first parameter's."""
    model = copy.deepcopy(tiny_llama.model)
    model.model.layers[1].register_forward_hook(lambda m, inputs, out: out.bfloat16())
    model.model.layers[2].register_forward_pre_hook(lambda m, inputs: (inputs[0].float(), *inputs[1:]))
    return wrap(model, tiny_llama.tokenizer, "mixed")


def test_blocks_are_read_and_steered_in_their_own_format(mixed, texts, make_vectors):
    """As they lie on their own device, where a model is spread over several: the first parameter tells neither."""
    _, states = act.per_token(mixed, texts[0])
    assert np.allclose(act.pooled(mixed, texts[:1], Last(), progress=False)[0], states[-1], atol=1e-4)
    assert np.allclose(act.mean_norm(mixed, texts[:1]), np.linalg.norm(states[1:], axis=-1).mean(0), rtol=1e-3)
    assert np.isfinite(act.streamed_covariance(mixed, texts)[2]).all()
    v, seen = np.eye(32, dtype=np.float32)[3], []
    with steer(mixed, v, 1.0, [1], np.full(3, 8.0)):
        hook = mixed.model.model.layers[1].register_forward_hook(lambda m, inputs, out: seen.append(out))
        _, pushed = act.per_token(mixed, texts[0])
        hook.remove()
    assert seen[0].dtype == torch.bfloat16 and np.allclose(pushed[:, 1] - states[:, 1], 8 * v, atol=0.1)
    monitor = Monitor(mixed, make_vectors(["calm", "sad"]), ["calm"], 1)
    generate(mixed, texts[:1], 3, steering=monitor.rows, progress=False)
    assert np.isfinite(monitor.traces[0]).all() and monitor.traces[0].any()


class NoDoubles(TorchDispatchMode):
    """Raises where a number in float64 is made, as some devices do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if torch.is_tensor(x) and x.dtype == torch.float64 and "lift" not in str(func):
                raise TypeError(f"{func} makes float64")
        return out


def test_devices_without_float64(tiny_llama, texts, monkeypatch):
    assert Subject.sums.fget(SimpleNamespace(device=torch.device("mps"))) == torch.float32
    assert tiny_llama.sums == torch.float64
    want = act.pooled(tiny_llama, texts, MeanFrom(1), progress=False)
    norms, written = act.mean_norm(tiny_llama, texts), generate(tiny_llama, texts, 6, seed=1, progress=False)
    with NoDoubles(), pytest.raises(TypeError, match="float64"):
        act.pooled(tiny_llama, texts, MeanFrom(1), progress=False)
    monkeypatch.setattr(Subject, "sums", torch.float32)
    with NoDoubles():
        assert np.allclose(act.pooled(tiny_llama, texts, MeanFrom(1), progress=False), want, atol=1e-5)
        assert np.allclose(act.mean_norm(tiny_llama, texts), norms, rtol=1e-5)
        assert generate(tiny_llama, texts, 6, seed=1, progress=False) == written
