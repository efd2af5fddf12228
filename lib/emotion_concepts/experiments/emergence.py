"""When, over pretraining, each property of the emotion vectors appears."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import classification, geometry, lens, preferences
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.reading.activations import mean_norm, pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.statistics import rsa
from emotion_concepts.texts.corpus import Corpus

LENS, LINK = "word lens (share of words)", "preference link (r on other activities)"
GEOMETRY, STEERING = "planted similarity (r)", "steering (Elo, blissful minus hostile)"
PUSHED = ("blissful", "hostile")
STRENGTH = 0.5
SOME = 50  # stories whose tokens give the mean norm
SIZES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Checkpoint:
    """A state during pretraining: its name for ``load_model``, and how far it is, in ``unit``: tokens, steps, place."""

    name: str
    at: float
    unit: str


def checkpoints(named: str | Path | list[str], at_most: int = 100) -> list[Checkpoint]:
    """States of one pretraining, earliest first: a folder of folders, or names (a list, or with commas between).

    How far a state is says its ``training.json`` (``tokens``), or its name or revision ("step1000", "tokens4B"); where
    some say nothing, their order counts. Of more than ``at_most`` the first, the last and evenly spaced ones between
    are kept. :class:`UserError` if there is none.
    """
    named = str(named) if isinstance(named, Path) else named
    names = [n.strip() for n in named.split(",") if n.strip()] if isinstance(named, str) else [str(n) for n in named]
    if len(names) == 1 and Path(names[0]).is_dir() and not (Path(names[0]) / "config.json").exists():
        names = sorted(str(p.parent) for p in Path(names[0]).glob("*/config.json"))
    if not names:
        raise UserError(f"no checkpoints in {named}; each must be a folder with config.json and weights, or a name")
    told = [_progress(n) for n in names]
    unit = next((u for u in ("tokens", "steps") if all(u in t for t in told)), "place")
    at = [t[unit] for t in told] if unit != "place" else list(range(1, len(names) + 1))
    order = np.argsort(at, kind="stable")
    if len(order) > at_most:
        order = order[np.linspace(0, len(order) - 1, max(2, at_most)).round().astype(int)]
    return [Checkpoint(names[i], float(at[i]), unit) for i in order]


def _progress(name: str) -> dict[str, float]:
    """How far a checkpoint says that it is: ``tokens``, ``steps``, both or neither."""
    made = _training(name)
    found = {"tokens": float(made["tokens"])} if "tokens" in made else {}
    last = name.rpartition("@")[2].rpartition("/")[2]
    if m := re.search(r"tokens?[-_]?(\d+(?:\.\d+)?)([KMBT])", last, re.I):
        found.setdefault("tokens", float(m[1]) * SIZES[m[2].upper()])
    if m := re.search(r"step[-_]?(\d+)", last, re.I):
        found["steps"] = float(m[1])
    return found


def _training(name: str) -> dict:
    """What a checkpoint's folder tells of its training; empty for none."""
    path = Path(name) / "training.json"
    return json.loads(path.read_text()) if path.exists() else {}


def untrained(subject: Subject, seed: int = 0) -> Subject:
    """A network of the subject's shape with fresh random weights: what the texts alone give."""
    torch.manual_seed(seed)
    model = type(subject.model)(subject.model.config).to(subject.device, subject.dtype).eval()
    return wrap(model, subject.tokenizer, f"untrained {subject.name}", world=subject.world)


def choose_lens(subject: Subject, vectors: EmotionVectors, emotions: list[str], layers=None) -> int:
    """The layer whose vectors raise the word of most of ``emotions``, or a kin's; the earliest of equals."""
    layers = vectors.layers if layers is None else layers
    return max(layers, key=lambda k: (_share(lens.logit_lens(subject, vectors, k, emotions)), -k))


def _share(table: pd.DataFrame) -> float:
    """Share of the emotions whose word or kin is raised, among those that one token can tell."""
    readable = table[table.readable]
    return float(readable["word or kin"].mean()) if len(readable) else float("nan")


@dataclass
class Plan:
    """What is measured of every checkpoint, the same for all.

    ``stories`` with the numbers of those that build (``train``) and judge (``report``) vectors, on disjoint topics, and
    the tokens skipped; ``layer`` is read, ``lens_layer`` read for words, ``steered`` the band that is steered;
    ``words``: emotions that the lens is judged by; ``truth``: planted similarity in the order of the sorted emotions,
    or None.
    """

    stories: Corpus
    train: np.ndarray
    report: np.ndarray
    skip: int
    layer: int
    lens_layer: int
    steered: list[int]
    words: list[str]
    choices: preferences.ChoiceSet
    rivals: int | str
    truth: np.ndarray | None = None

    @property
    def axes(self) -> tuple[str, list[int], str, list[int]]:
        """Names and numbers of the components that may carry valence, and arousal: fixed beforehand."""
        if self.truth is not None:
            return "valence on PC1 (|r|)", [0], "arousal on PC2 or PC3 (|r|)", [1, 2]
        return "valence on PC1 or PC2 (|r|)", [0, 1], "arousal on PC1 or PC2 (|r|)", [0, 1]


def measure(subject: Subject, plan: Plan, seed: int = 0) -> dict[str, float]:
    """Every property of one checkpoint, by name."""
    layers, stories = sorted({plan.layer, plan.lens_layer, *plan.steered}), plan.stories
    acts = pooled(subject, stories.texts, MeanFrom(plan.skip), layers, progress=False)
    labels = np.array(stories.emotions)
    own = emotion_vectors(acts, list(labels[plan.train]), layers, rows=plan.train)
    scores = own.scores(acts[plan.report, layers.index(plan.layer)], plan.layer)
    table = geometry.norm_correlations(geometry.components(own.at(plan.layer), own.emotions))
    valence, first, arousal, second = plan.axes
    norms = scale_of(subject, plan)
    push = own.band(PUSHED, plan.steered)
    moved = preferences.steering_shift(
        subject, plan.choices, push, STRENGTH, plan.steered, norms, seed=seed, rivals=plan.rivals
    )
    return {
        "emotion of a story (top-1)": float(
            classification.top_k(scores, own.emotions, list(labels[plan.report]))[1].mean()
        ),
        LENS: _share(lens.logit_lens(subject, own, plan.lens_layer, plan.words)),
        valence: float(table.pleasure.iloc[first].abs().max()),
        arousal: float(table.arousal.iloc[second].abs().max()),
        GEOMETRY: float("nan") if plan.truth is None else rsa(geometry.similarity(own.at(plan.layer)), plan.truth),
        LINK: preference_link(subject, plan.choices, own, plan.layer, seed),
        STEERING: float(moved[PUSHED[0]] - moved[PUSHED[1]]),
    }


def scale_of(subject: Subject, plan: Plan) -> np.ndarray:
    """Mean residual norm of each layer, (layers,), over some of the stories: a mean needs no more."""
    return mean_norm(subject, plan.stories.texts[:: max(1, len(plan.stories) // SOME)])


def first_mix(states: list[Checkpoint]) -> float | None:
    """The tokens after which the mix of texts changes, where a checkpoint's ``training.json`` tells of it."""
    told = [_training(s.name).get("recipe", {}).get("pretraining_tokens") for s in states]
    return next((float(t) for t in reversed(told) if t), None)


def preference_link(
    subject: Subject, choices: preferences.ChoiceSet, own: EmotionVectors, layer: int, seed: int = 0
) -> float:
    """r of a probe with the ratings of one half of the activities; emotion and sign are chosen on the other half.

    Mean of both directions: an untrained network, where the best of many emotions is a lottery, stands near 0.
    """
    elo = preferences.elo(subject, choices).elo.to_numpy()
    acts = preferences.activity_activations(subject, choices, [layer])[:, 0]
    half = np.isin(np.arange(len(elo)), sorted(preferences.half_split(choices, seed)))
    found = []
    for chooses in (half, ~half):
        there, here = (preferences.probe_correlations(acts[r], own, layer, elo[r]) for r in (chooses, ~chooses))
        best = there.abs().idxmax()
        found.append(np.sign(there[best]) * here[best])
    return float(np.mean(found))


def risen(table: pd.DataFrame, share: float = 0.5) -> pd.Series:
    """For each property (column), how far pretraining is (index) where it has first made this share of its way.

    The way goes from the first to the last row, up or down; a property without change stands at the first.
    """
    way = table.iloc[-1] - table.iloc[0]
    made = (table - table.iloc[0]) * np.sign(way) >= share * way.abs() - 1e-9  # a share reached exactly counts
    return made.idxmax()
