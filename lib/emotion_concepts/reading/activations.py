"""Residual-stream activations of texts, pooled inside the forward pass.

Layer ``i`` is the output of block ``i`` (hazard 4). Texts of like length share a right-padded batch; sums are taken
in the hook, so memory does not grow with text length times layers; the pass ends after the last layer asked for
and the LM head never runs.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.subject import Subject
from emotion_concepts.lm.tracing import TraceDict, hidden
from emotion_concepts.reading.pooling import Last
from emotion_concepts.reading.shards import Shards

CHUNK = 32  # tokens summed in float32 before the sums go on in float64
TOKEN_BUDGET = 8192
MASSIVE = 10.0  # times the median norm of its batch: from there a state is an outlier, not part of the language


def _weighted_mean(x: torch.Tensor, weights: torch.Tensor, sums: torch.dtype) -> torch.Tensor:
    """Sum over tokens of ``weights`` (B, T) times ``x`` (B, T, W), in ``sums`` across chunks; T a multiple of CHUNK."""
    b, t, w = x.shape
    parts = weights.to(x.device).view(b, t // CHUNK, 1, CHUNK) @ x.float().view(b, t // CHUNK, CHUNK, w)
    return parts.squeeze(2).to(sums).sum(1)


def _forward(subject: Subject, ids: torch.Tensor, layers: list[int], visit) -> None:
    """Run the blocks up to the last of ``layers`` and call ``visit(position in layers, hidden)`` after each.

    Right padding needs no attention mask: a real token never looks at what comes after it. :class:`UserError` for a
    layer that does not run, or whose output is not (batch, tokens, width): its numbers would be invented.
    """
    names = {subject.blocks[layer]: k for k, layer in enumerate(layers)}
    want, stream, seen = (*ids.shape, subject.width), subject.architecture.stream, set()

    def look(output, layer):
        h = hidden(output, stream)
        if tuple(h.shape) != want:
            raise UserError(f"block {layer} of {subject.name} gives {tuple(h.shape)}, not {want}; it cannot be read")
        seen.add(layer)
        visit(names[layer], h)
        return output

    with (
        torch.inference_mode(),
        TraceDict(subject.model, list(names), retain_output=False, edit_output=look, stop=True),
    ):
        subject.final_hidden(ids)
    if unseen := names.keys() - seen:
        raise UserError(f"block {min(unseen)} of {subject.name} did not run on these texts; leave its layer out")


def is_out_of_memory(e: BaseException) -> bool:
    """Whether an exception means that the batch was too large for the memory."""
    return isinstance(e, (torch.cuda.OutOfMemoryError, MemoryError)) or "allocate memory" in str(e)


def _encode_all(subject: Subject, texts: list[str]) -> list[np.ndarray]:
    if not texts:
        raise UserError("the corpus is empty: no texts to read")
    rows = [np.asarray(r, dtype=np.int32) for r in subject.encode_all(texts)]
    for i, row in enumerate(rows):
        if not 0 < len(row) <= subject.max_length:
            raise UserError(f"text {i} has {len(row)} tokens; {subject.name} takes 1 to {subject.max_length}")
    return rows


def check_texts(subject: Subject, texts: list[str], rule) -> list[np.ndarray]:
    """Token ids of each text; :class:`UserError` for no texts, or one that is too short for the rule, or too long."""
    rows = _encode_all(subject, texts)
    for i, row in enumerate(rows):
        rule.weights(i, len(row))
    return rows


def _pool_batch(subject: Subject, rows, weights, layers) -> np.ndarray:
    """(rows, layers, width) float32 for one batch."""
    ids, _ = pad_right(rows, subject.pad)
    width = -(-ids.shape[1] // CHUNK) * CHUNK
    w = np.zeros((len(rows), width), dtype=np.float32)
    for i, x in enumerate(weights):
        w[i, : len(x)] = x
    w = torch.from_numpy(w).to(subject.device)
    out = torch.zeros(len(rows), len(layers), subject.width, dtype=subject.sums, device=subject.device)
    spare = width - ids.shape[1]

    def visit(k, h):
        h = torch.nn.functional.pad(h, (0, 0, 0, spare)) if spare else h
        out[:, k] = _weighted_mean(h, w, subject.sums).to(out.device)

    _forward(subject, ids, layers, visit)
    return out.float().cpu().numpy()


def _pool_halving(subject: Subject, rows, weights, layers) -> np.ndarray:
    """:func:`_pool_batch`, in halves when memory does not suffice."""
    try:
        return _pool_batch(subject, rows, weights, layers)
    except (RuntimeError, MemoryError) as e:
        if not is_out_of_memory(e) or len(rows) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    mid = len(rows) // 2
    parts = [_pool_halving(subject, rows[a:b], weights[a:b], layers) for a, b in ((0, mid), (mid, None))]
    return np.concatenate(parts)


def pooled_batches(
    subject: Subject,
    texts: list[str],
    rule,
    layers=None,
    token_budget: int = TOKEN_BUDGET,
    skip=frozenset(),
    progress=True,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield ``(text numbers, activations (n, layers, width) float32)`` batch by batch, in constant memory.

    ``rule`` is one of :mod:`emotion_concepts.reading.pooling`; text numbers in ``skip`` are left out.
    :class:`UserError` for an empty corpus, a text too short or too long, NaN or Inf.
    """
    layers, rows = subject.choose_layers(layers), check_texts(subject, texts, rule)
    todo = sum(len(r) for i, r in enumerate(rows) if i not in skip)
    bar = tqdm(total=todo, unit="tok", unit_scale=True, desc="activations", leave=False, disable=not progress)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        bucket = [i for i in bucket if i not in skip]
        if not bucket:
            continue
        batch = [rows[i] for i in bucket]
        out = _pool_halving(subject, batch, [rule.weights(i, len(rows[i])) for i in bucket], layers)
        bad = np.argwhere(~np.isfinite(out).all(-1))
        if len(bad):
            i, k = bad[0]
            raise UserError(
                f"NaN or Inf in the activations of text {bucket[i]} at layer {layers[k]}; "
                "load the model in float32 or bfloat16"
            )
        bar.update(sum(len(rows[i]) for i in bucket))
        yield bucket, out
    bar.close()


def pooled(
    subject: Subject, texts: list[str], rule, layers=None, token_budget: int = TOKEN_BUDGET, store=None, progress=True
) -> np.ndarray:
    """Pooled activations, float32 (texts, layers, width), in the order of the texts.

    With ``store`` (a folder) batches are appended to checksummed shards, a killed run goes on where it was, and the
    result is a read-only map of the file: memory does not grow with the texts if only what is needed is indexed.
    """
    layers = subject.choose_layers(layers)
    shape = (len(texts), len(layers), subject.width)
    if store is None:
        out = np.empty(shape, dtype=np.float32)
        for rows, values in pooled_batches(subject, texts, rule, layers, token_budget, progress=progress):
            out[rows] = values
        return out
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    key = {"model": subject.model_id, "texts": digest, "rule": repr(rule), "layers": layers, "budget": token_budget}
    shards = Shards(store, key, shape)
    for rows, values in pooled_batches(subject, texts, rule, layers, token_budget, shards.done(), progress):
        shards.append(rows, values)
    return shards.array()


def at_reply(subject: Subject, messages: list[str], layers=None, **options) -> np.ndarray:
    """Activation at the read-out position after each user message, (messages, layers, width) (hazard 14)."""
    return pooled(subject, [subject.prompt.chat(m) for m in messages], Last(), layers, **options)


def per_token(subject: Subject, text: str, layers=None) -> tuple[list[str], np.ndarray]:
    """The text's tokens as strings and their activations, float32 (tokens, layers, width)."""
    layers, rows = subject.choose_layers(layers), _encode_all(subject, [text])
    out = np.empty((len(rows[0]), len(layers), subject.width), dtype=np.float32)

    def visit(k, h):
        out[:, k] = h[0].float().cpu().numpy()

    _forward(subject, torch.from_numpy(rows[0].astype(np.int64))[None], layers, visit)
    return [subject.tokenizer.decode([int(i)]) for i in rows[0]], out


def each_token(
    subject: Subject, texts: list[str], layers=None, token_budget: int = TOKEN_BUDGET
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(text number, its tokens' activations (tokens, layers, width) float32)``, in batches of like length."""
    layers, rows = subject.choose_layers(layers), _encode_all(subject, texts)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, _ = pad_right([rows[i] for i in bucket], subject.pad)
        out = np.empty((*ids.shape, len(layers), subject.width), dtype=np.float32)

        def visit(k, h, out=out):
            out[:, :, k] = h.float().cpu().numpy()

        _forward(subject, ids, layers, visit)
        yield from ((i, acts[: len(rows[i])]) for i, acts in zip(bucket, out))


def at_spans(
    subject: Subject, texts: list[str], spans: list, layers=None, token_budget: int = TOKEN_BUDGET
) -> np.ndarray:
    """Mean activation over each of several spans of a text, float32 (texts, spans, layers, width), read in one pass.

    ``spans[i]``: token spans (start, end) of text i, as many for every text; :class:`UserError` for NaN or Inf.
    """
    layers, rows = subject.choose_layers(layers), _encode_all(subject, texts)
    out = np.empty((len(texts), len(spans[0]), len(layers), subject.width), dtype=np.float32)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, _ = pad_right([rows[i] for i in bucket], subject.pad)

        def visit(k, h, bucket=bucket):
            means = [[h[row, a:b].float().mean(0) for a, b in spans[i]] for row, i in enumerate(bucket)]
            out[bucket, :, k] = torch.stack([torch.stack(m) for m in means]).cpu().numpy()

        _forward(subject, ids, layers, visit)
    if not np.isfinite(out).all():
        raise UserError("NaN or Inf in the activations, or an empty span; load the model in float32 or bfloat16")
    return out


def _token_batches(subject: Subject, texts: list[str], skip: int, spans, token_budget: int):
    """Yield ids and the mask of the tokens that count: from ``skip`` on, and inside ``spans[i]`` where given."""
    rows = _encode_all(subject, texts)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, mask = pad_right([rows[i] for i in bucket], subject.pad)
        mask[:, :skip] = False
        if spans is not None:
            inside = torch.zeros_like(mask)
            for row, i in zip(inside, bucket):
                for start, end in spans[i]:
                    row[start:end] = True
            mask &= inside
        yield ids, mask


def _ordinary(h: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The masked tokens' states float32 (n, width) without massive activations: norms over ``MASSIVE`` medians.

    A few tokens (the first, some of a template) hold states hundreds of times longer than all others, in one direction
    that means nothing; they would be the whole mean norm and the whole covariance.
    """
    x = h[mask.to(h.device)].float()
    norms = x.norm(dim=-1)
    if not torch.isfinite(norms).all():
        raise UserError("NaN or Inf in the activations; load the model in float32 or bfloat16")
    return x[norms <= MASSIVE * norms.median()] if len(x) else x


def mean_norm(
    subject: Subject, texts: list[str], layers=None, skip: int = 1, token_budget: int = TOKEN_BUDGET, spans=None
) -> np.ndarray:
    """Mean Euclidean norm of the residual stream over the texts' tokens from ``skip`` on, (layers,).

    The unit of steering strength (paper, section 1). ``spans[i]``: the token spans of text i that count (default: all).
    Massive activations are left out.
    """
    layers = subject.choose_layers(layers)
    total: list = [0.0] * len(layers)  # each where its layer is computed, so that no pass waits for a number
    count = np.zeros(len(layers))
    for ids, mask in _token_batches(subject, texts, skip, spans, token_budget):

        def visit(k, h, mask=mask):
            norms = _ordinary(h, mask).norm(dim=-1)
            total[k] = total[k] + norms.to(subject.sums).sum()
            count[k] += len(norms)

        _forward(subject, ids, layers, visit)
    if not count.all():
        raise UserError(f"every text is shorter than the {skip} tokens to skip; give longer texts")
    return np.array([float(t) for t in total]) / count


def streamed_covariance(
    subject: Subject, texts: list[str], layers=None, skip: int = 1, token_budget: int = TOKEN_BUDGET, spans=None
) -> tuple[int, np.ndarray, np.ndarray]:
    """Token count, mean (layers, width) and covariance (layers, width, width) over tokens, float64, streamed.

    ``spans`` and massive activations as in :func:`mean_norm`; the count is the least of all layers.
    """
    layers, w = subject.choose_layers(layers), subject.width
    n = np.zeros(len(layers), dtype=int)
    mean = torch.zeros(len(layers), w, dtype=torch.float64)
    scatter = torch.zeros(len(layers), w, w, dtype=torch.float64)
    for ids, mask in _token_batches(subject, texts, skip, spans, token_budget):

        def visit(k, h, mask=mask):
            x = _ordinary(h, mask)
            m = len(x)
            if not m:
                return
            centre = x.mean(0)
            x = x - centre  # centred first: float32 products then lose nothing (Chan et al. 1983)
            delta = centre.cpu().double() - mean[k]
            scatter[k] += (x.T @ x).cpu().double() + torch.outer(delta, delta) * (n[k] * m / (n[k] + m))
            mean[k] += delta * (m / (n[k] + m))
            n[k] += m

        _forward(subject, ids, layers, visit)
    if n.min() < 2:
        raise UserError(f"the texts hold no tokens after the {skip} to skip; give longer texts")
    return int(n.min()), mean.numpy(), (scatter / torch.from_numpy(n)[:, None, None]).numpy()
