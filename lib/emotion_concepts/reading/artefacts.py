"""Files that say what they are: arrays as safetensors, stamped with model, revision, layers, rule and corpus."""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject


def stamp(subject: Subject, layers, rule: str, corpus: str) -> dict:
    """What an artefact says of its origin."""
    return {
        "model_id": subject.model_id, "revision": subject.revision, "layers": list(map(int, layers)),
        "rule": rule, "corpus": corpus,
    }  # fmt: skip


def check_stamp(meta: dict, subject: Subject, path="this artefact") -> None:
    """:class:`UserError` unless the artefact was made with this very model (hazard 15)."""
    if meta.get("model_id") != subject.model_id:
        raise UserError(
            f"{path} was made with {meta.get('model_id', 'an unknown model')}, not {subject.model_id}; "
            "rerun discovery (notebook 01) with this model"
        )


def save_arrays(path, arrays: dict[str, np.ndarray], meta: dict) -> None:
    """Write arrays and metadata as one safetensors file, all or nothing; NaN or Inf is refused."""
    path = Path(path)
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise UserError(f"array {name!r} for {path.name} holds NaN or Inf; load the model in float32")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, part, {"meta": json.dumps(meta)})
        os.replace(part, path)
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror}; choose another --out") from e


def load_arrays(path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and metadata of a file written by :func:`save_arrays`; :class:`UserError` if damaged or foreign."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; run the notebook that writes it first")
    try:
        with safe_open(path, framework="np") as f:
            meta = json.loads(f.metadata()["meta"])
            return {k: f.get_tensor(k) for k in f.keys()}, meta
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as e:
        raise UserError(f"{path} is damaged or not one of ours; delete it and run again") from e
