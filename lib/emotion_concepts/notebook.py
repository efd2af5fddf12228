"""What every notebook opens with and closes with."""

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from .claims import Ledger
from .corpus import Corpus
from .errors import UserError
from .models import Subject, load_model, shipped_path
from .profiles import settings
from .results import save_figure
from .vectors import EmotionVectors


@dataclass
class Run:
    """One notebook at work: its subject, sizes, ledger of claims and folder."""

    notebook: str
    subject: Subject
    settings: dict
    ledger: Ledger
    out: Path
    seed: int
    figures: list[str] = field(default_factory=list)

    def figure(self, fig, name: str, data, caption: str, paper_figure=None, **options):
        """Save a figure as PNG, SVG and JSON, and return it to be shown."""
        from IPython.display import Image

        path = save_figure(fig, name, data, self.out, caption, paper_figure, **options)
        self.figures.append(name)
        return Image(filename=path)

    def artefact(self, name: str) -> Path:
        """Where a file of this run lies."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / name

    def vectors(self) -> EmotionVectors:
        """The emotion vectors that notebook 01 saved; :class:`UserError` if they are missing or of another model."""
        path = self.artefact("vectors.safetensors")
        if not path.exists():
            raise UserError(f"{path} does not exist; run notebook 01 first: ./run_all.sh --only 01")
        return EmotionVectors.load(path, self.subject)

    def stories(self) -> Corpus:
        """The stories that notebook 01 let the subject write."""
        return Corpus.load(self.artefact("stories.json"))

    def neutral(self) -> list[str]:
        """The neutral texts of notebook 01."""
        path = self.artefact("neutral.json")
        if not path.exists():
            raise UserError(f"{path} does not exist; run notebook 01 first: ./run_all.sh --only 01")
        return json.loads(path.read_text())

    def truth(self) -> dict | None:
        """What was planted in the shipped model's world; None for any other model."""
        return json.loads((shipped_path("chat").parent / "truth.json").read_text()) if self.subject.is_organism else None


def open_run(notebook: str, model: str, profile: str, out: str, seed: int = 0) -> Run:
    """Load the subject and prepare the folder; :class:`UserError` for anything that cannot be had."""
    sizes, folder = settings(profile), Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"cannot write to {folder}: {e.strerror}; choose another --out") from e
    subject = load_model(model)
    return Run(notebook, subject, sizes, Ledger(notebook, subject, folder), folder, seed)


def footer(run: Run) -> None:
    """Print versions, seed and model digest: what a reader needs to get the same numbers."""
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "numpy", "scikit-learn"))
    print(f"model {run.subject.model_id}; seed {run.seed}; python {platform.python_version()}; {packages}")
