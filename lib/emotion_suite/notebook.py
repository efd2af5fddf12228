"""What every notebook opens with and closes with."""

import hashlib
import io
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.models import check_pair, load_model
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.report.claims import Ledger, model_of, notebooks, number
from emotion_concepts.report.results import save_figure, writable
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.neutral import Neutral
from emotion_suite import estimate
from emotion_suite.profiles import Sizes, settings

COLOURS, LIGHT_DPI = 96, 80  # of the copy of a figure that is kept inside a notebook
ONCE = "EMOTION_SUITE_ONCE"  # in the environment of a kernel whose cells run once each: the runner sets it
DISCOVERY = "01"  # the notebook whose stories and vectors all later ones read


@dataclass
class Run:
    """One notebook at work: its subject, sizes, ledger of claims and folder."""

    notebook: str
    subject: Subject | None  # None in a notebook that reads results alone
    settings: Sizes
    ledger: Ledger
    out: Path
    seed: int
    base_name: str = ""
    load: Callable[[str], Subject] = load_model  # another model as this one was loaded
    figures: list[str] = field(default_factory=list)

    def figure(self, fig, name: str, data, caption: str, paper_figure=None, **options):
        """Save a figure as PNG, SVG and JSON, and return a light copy to be shown (see ``results.save_figure``)."""
        from IPython.display import Image

        light = light_png(fig)
        save_figure(fig, name, data, self.out, caption, paper_figure, **options)
        self.figures.append(name)
        return Image(data=light, alt=caption)

    def expect(self, what: str, read: int = 0, written: int = 0, held: int = 0) -> None:
        """Say on the terminal how long a step of over a minute will take; see ``emotion_suite.estimate.announce``."""
        estimate.announce(self.subject, f"{self.notebook}: {what}", read, written, held)

    def tokens(self, texts: list[str], chat: bool = False) -> int:
        """How many tokens the subject reads in these texts together, each as a user's message in a ``chat``."""
        return sum(map(len, self.subject.encode_all([self.subject.prompt.chat(t) for t in texts] if chat else texts)))

    def artefact(self, name: str, notebook: str = "") -> Path:
        """Where a file of this run lies; a name without suffix is a folder (a store of activations), of ``notebook``.

        A store keeps numbers of other models and texts apart (:class:`~emotion_concepts.reading.shards.Shards`).
        """
        return self.out / name if Path(name).suffix else self.out / "stores" / (notebook or self.notebook) / name

    def needs(self, name: str, notebook: str = DISCOVERY) -> Path:
        """The path of what an earlier notebook wrote; :class:`UserError` that says which to run if it is missing."""
        path = self.artefact(name)
        if not path.exists():
            raise UserError(f"{path} does not exist; run notebook {notebook} first: ./run_all.sh --only {notebook}")
        return path

    def vectors(self) -> EmotionVectors:
        """The emotion vectors that notebook 01 saved; :class:`UserError` if they are missing or of another model."""
        return EmotionVectors.load(self.needs("vectors.safetensors"), self.subject)

    def stories(self) -> Corpus:
        """The stories of notebook 01 whose activations it kept: up to ``stories_kept`` of each emotion."""
        return Corpus.load(self.needs("stories.json"))

    def story_activations(self) -> np.ndarray:
        """These stories as notebook 01 pooled them, (stories, layers, width); read anew only if its store is gone."""
        rule, store = MeanFrom(self.vectors().meta["skip"]), self.artefact("activations", DISCOVERY)
        return pooled(self.subject, self.stories().texts, rule, store=store)

    def neutral(self) -> list[str]:
        """The neutral texts of notebook 01, whole chats."""
        return self.neutral_chats().texts

    def neutral_chats(self) -> Neutral:
        """The neutral texts of notebook 01 with the replies in them, whose tokens a covariance is over."""
        return Neutral.load(self.needs("neutral.json"))

    @property
    def has_base(self) -> bool:
        """Whether a pretrained partner of the subject was named."""
        return bool(self.base_name)

    def base(self) -> Subject:
        """The pretrained partner of the subject; :class:`UserError` if none was named, or it does not fit."""
        if not self.has_base:
            raise UserError(f"no pretrained partner of {self.subject.name} is known; name it with --base")
        base = self.load(self.base_name)
        check_pair(self.subject, base)
        return base

    def end(self, why: str) -> NoReturn:
        """Say why this notebook cannot go on, skip the claims that are left, and end it here without a failure."""
        for id in self.ledger.claims.keys() - self.ledger.rows.keys():
            self.ledger.skip(id, why)
        self.ledger.save()
        print(why)
        raise SystemExit(0)  # papermill takes it for a good end and runs no later cell

    def truth(self) -> dict | None:
        """What was planted in the texts of the subject's world; None where that is not known."""
        return self.subject.world.truth() if self.subject.world else None


def light_png(fig) -> bytes:
    """A figure as a PNG of few colours and low resolution, for notebooks that must stay small."""
    from PIL import Image

    drawn, buffer = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=LIGHT_DPI, bbox_inches="tight")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _ledger(notebook: str, subject, out: Path) -> Ledger:
    """A ledger that takes one outcome a claim from the runner; by hand a cell may be run, and judge, again."""
    return Ledger(notebook, subject, out, once=ONCE in os.environ)


def open_run(
    notebook: str, model: str, base: str = "", profile: str = "default", out: str = "runs", seed: int = 0,
    dtype: str = "float32", device: str = "auto", system: str | None = None,
) -> Run:  # fmt: skip
    """Load the subject and prepare the folder; :class:`UserError` for anything that cannot be had."""
    nb, folder = number(notebook), Path(out)
    writable(folder)
    load = partial(load_model, dtype=dtype, device=device, system=system)
    subject = load(model)
    sizes = settings(profile, shipped=subject.world is not None)
    return Run(nb, subject, sizes, _ledger(nb, subject, folder), folder, seed, base, load)


def open_reading(notebook: str, model: str, profile: str, out: str, seed: int = 0) -> Run:
    """Open a notebook that reads the results of others and needs no model; its claims count for the run in ``out``."""
    nb, sizes, folder = number(notebook), settings(profile), writable(Path(out))
    return Run(nb, None, sizes, _ledger(nb, model_of(folder, notebooks()) or model, folder), folder, seed)


def footer(run: Run) -> None:
    """Print what a reader needs to get the same numbers: model and vectors by digest, sizes, seed, versions."""
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "numpy", "scikit-learn"))
    vectors = run.out / "vectors.safetensors"
    model = f" · model {run.subject.model_id}" if run.subject else ""
    print(f"notebook {run.notebook}{model} · seed {run.seed}")
    print("sizes: " + ", ".join(f"{k} {v}" for k, v in run.settings.items()))
    if vectors.exists():
        print(f"vectors: sha256 {hashlib.sha256(vectors.read_bytes()).hexdigest()[:16]}")
    print(f"python {platform.python_version()}, {packages}")
