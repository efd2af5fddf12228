"""When, over pretraining, each property of the emotion vectors appears."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import classification, geometry, lens, preferences
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.reading.activations import mean_norm, pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import emotion_vectors
from emotion_concepts.statistics import rsa


def checkpoints(folder) -> list[Path]:
    """Checkpoint folders below ``folder``, by name, which sorts them by training tokens; :class:`UserError` if none."""
    found = sorted(p.parent for p in Path(folder).glob("*/config.json"))
    if not found:
        raise UserError(f"no checkpoints in {folder}; each must be a folder with config.json and weights")
    return found


def untrained(subject: Subject, seed: int = 0) -> Subject:
    """A network of the subject's shape with fresh random weights: what the texts alone give."""
    torch.manual_seed(seed)
    model = type(subject.model)(subject.model.config).to(subject.device, subject.dtype).eval()
    return wrap(model, subject.tokenizer, f"untrained {subject.name}", world=subject.world)


def measure(
    subject: Subject, stories, train, report, layer: int, steered: int, choices, truth=None, showcase=(), seed: int = 0
) -> dict:
    """Every property of one checkpoint at one layer, by name; choices are steered at the layer ``steered``.

    ``stories``: the same corpus for every checkpoint, with ``train`` and ``report`` story numbers (disjoint topics);
    ``truth``: planted similarity in the order of the sorted emotions, or None.
    """
    layers = sorted({layer, steered})
    acts = pooled(subject, stories.texts, MeanFrom(20), layers, progress=False)
    labels = np.array(stories.emotions)
    own = emotion_vectors(acts[train], list(labels[train]), layers)
    scores = own.scores(acts[report][:, layers.index(layer)], layer)
    top1 = classification.top_k(scores, own.emotions, list(labels[report]))[1].mean()
    pcs = geometry.components(own.at(layer), own.emotions)
    table = geometry.norm_correlations(pcs)
    words = lens.logit_lens(subject, own, layer, showcase)["word or kin"].mean()
    elo = preferences.elo(subject, choices).elo.to_numpy()
    activity = preferences.activity_activations(subject, choices, [layer])[:, 0]
    link = preferences.probe_correlations(activity, own, layer, elo)
    norms = mean_norm(subject, stories.texts[:200])
    pair = {e: own.of(e, steered) for e in ("blissful", "hostile")}
    moved = preferences.steering_shift(subject, choices, pair, 0.5, [steered], norms, seed=seed)
    return {
        "emotion of a story (top-1)": float(top1),
        "word lens (share of words)": float(words),
        "valence on PC1 (|r|)": float(abs(table.pleasure.iloc[0])),
        "arousal on PC2 or PC3 (|r|)": float(table.arousal.iloc[1:3].abs().max()),
        "planted similarity (r)": float("nan") if truth is None else rsa(geometry.similarity(own.at(layer)), truth),
        "preference link (best r)": float(link.abs().max()),
        "steering (Elo, blissful minus hostile)": float(moved.blissful - moved.hostile),
    }


def risen(table: pd.DataFrame, share: float = 0.5) -> pd.Series:
    """For each property (column), the training tokens (index) at which it has first made this share of its way.

    The way goes from the first to the last row, up or down; a property without change stands at the first.
    """
    way = table.iloc[-1] - table.iloc[0]
    made = (table - table.iloc[0]) * np.sign(way) >= share * way.abs() - 1e-9  # a share reached exactly counts
    return made.idxmax()
