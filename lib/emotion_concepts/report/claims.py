"""Claims declared before the data is touched, and the table of what became of them.

Declarations lie in ``claims/NN.yaml``, one file a notebook; a :class:`Ledger` holds measured values against them.
"""

import hashlib
import json
import math
import operator
import os
import re
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.statistics import Estimate

FOLDER = files("emotion_concepts") / "report" / "claims"
MARK = re.compile(r"^(abs\s+)?(>=|<=|==|>|<)\s*(-?\d*\.?\d+)$")
LEADING = re.compile(r"^(-?\d*\.?\d+)(?= \(|$)")  # of "0.5 (guessing)"
RANGE = re.compile(r"^(-?\d*\.?\d+) to (-?\d*\.?\d+)$")
COMPARE = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
WITHIN = "not above its null"  # said of a mark that is met, where the null reaches the value or its interval
APPLIES = {
    "all": "",
    "world": "only a subject whose world is known can be held against it",
    "real": "for models whose texts others wrote; the shipped one is judged by its own claims",
}
COLUMNS = ["id", "claim", "mark", "value", "interval", "null", "n", "unit", "paper", "verdict", "note"]


@dataclass(frozen=True)
class Claim:
    """One statement with its pass mark (``">= 0.80"``, ``"abs <= 0.30"``, ``"0.10 to 0.40"``), fixed before."""

    id: str  # "01.top1"
    text: str
    mark: str
    null: str  # what chance or the null would give, in words
    unit: str
    paper: str | float | None = None  # the paper's number, where it has one
    real: str | None = None  # mark for subjects whose texts others wrote; default: the same
    applies: str = "all"  # "world": only where the world is known; "real": only where it is not

    def met(self, value: float) -> bool:
        """Whether a value passes the mark; the rounding error of a computed value (1e-9) counts on neither side."""
        value = round(float(value), 9)
        if within := RANGE.match(self.mark):
            return bool(float(within[1]) <= value <= float(within[2]))
        absolute, relation, bound = MARK.match(self.mark).groups()
        return bool(COMPARE[relation](abs(value) if absolute else value, float(bound)))


def as_by_null(mark: str, value: float, interval, null) -> bool:
    """Whether a mark asks for values from some bound up, and the null reaches the value or its interval's lower end.

    ``null``: a number, or words that begin with one; of other words nothing is said.
    """
    parts, told = MARK.match(mark), LEADING.match(str(null))
    if not parts or parts[2] not in (">=", ">") or not told:
        return False
    least = min(value, interval[0]) if isinstance(interval, (list, tuple)) else value
    if parts[1]:
        least = min(abs(value), *map(abs, interval)) if isinstance(interval, (list, tuple)) else abs(value)
    return least <= float(told[1])


def for_subject(claim: Claim, known_world: bool) -> Claim:
    """The claim with the mark that was declared for this kind of subject."""
    return claim if known_world or claim.real is None else replace(claim, mark=claim.real)


def number(notebook: str) -> str:
    """``"01"`` from ``"01"``, ``1`` or ``"01-vector-discovery"``."""
    found = re.match(r"^(\d{1,2})(?!\d)", str(notebook))
    if not found:
        raise UserError(f"notebook {notebook!r} has no number; name it like 01-vector-discovery")
    return found.group(1).zfill(2)


@cache
def declared(notebook: str) -> dict[str, Claim]:
    """The claims of a notebook by id, in order; :class:`UserError` for a notebook without or with faulty claims."""
    nb = number(notebook)
    path = FOLDER / f"{nb}.yaml"
    if not path.is_file():
        raise UserError(f"no claims are declared for notebook {nb}; add emotion_concepts/report/claims/{nb}.yaml")
    claims = {}
    for row in yaml.safe_load(path.read_text()):
        try:
            claim = Claim(**{"null" if k is None else k: v for k, v in row.items()})  # YAML reads a bare null: as None
        except TypeError as e:
            raise UserError(f"claims/{nb}.yaml: faulty claim {row.get('id')!r}: {e}") from e
        if not claim.id.startswith(f"{nb}.") or claim.id in claims:
            raise UserError(f"claims/{nb}.yaml: id {claim.id!r} must be unique and start with {nb!r} and a dot")
        for mark in filter(None, (claim.mark, claim.real)):
            if not (MARK.match(mark) or RANGE.match(mark)):
                raise UserError(f"claims/{nb}.yaml: cannot read mark {mark!r} of {claim.id}; write it like '>= 0.80'")
        if claim.applies not in APPLIES:
            raise UserError(f"claims/{nb}.yaml: {claim.id} applies to {claim.applies!r}, not to {' or '.join(APPLIES)}")
        claims[claim.id] = claim
    return claims


def notebooks() -> list[str]:
    """Numbers of the notebooks that declare claims."""
    return sorted(p.name[:2] for p in FOLDER.iterdir() if p.name.endswith(".yaml"))


class Ledger:
    """Outcomes of one notebook's claims on one subject.

    ``once``: a claim's second outcome is a :class:`UserError`; else it replaces the first, as in a cell run again.

    >>> ledger = Ledger("01", subject, out)
    >>> ledger.judge("01.top1", 0.62, interval=(0.58, 0.66), null=0.006, n=855)
    >>> ledger.save()
    """

    def __init__(self, notebook: str, subject, out, once: bool = True):
        self.notebook, self.once = number(notebook), once
        self.world = getattr(subject, "world", None) is not None
        self.parameters = getattr(subject, "parameters", None)
        self.claims = {i: for_subject(c, self.world) for i, c in declared(self.notebook).items()}
        self.model = subject if isinstance(subject, str) else subject.model_id
        self.out = Path(out)
        self.rows: dict[str, dict] = {}

    def _new(self, id: str) -> Claim:
        if id not in self.claims:
            raise UserError(
                f"claim {id!r} was not declared before the data; declared for notebook {self.notebook}: "
                + ", ".join(self.claims)
            )
        if self.once and id in self.rows:
            raise UserError(f"claim {id} was already judged; a claim is judged once a run")
        return self.claims[id]

    def applies(self, id: str) -> bool:
        """Whether a claim is declared for this kind of subject."""
        return self.claims[id].applies in ("all", "world" if self.world else "real")

    def judge(self, id: str, value, interval=None, null=None, n: int | None = None, note: str = "") -> dict:
        """Hold a measured value against the declared mark and return the row.

        ``value``: a number, or an :class:`~emotion_concepts.statistics.Estimate`, whose interval is then used;
        ``interval``: (lo, hi); ``null``: the null's measured value (else the declared words stand); ``n``: items.
        """
        claim = self._new(id)
        if isinstance(value, Estimate):
            interval = value.interval if interval is None else interval
            value = value.value
        value = float(value)
        if not math.isfinite(value):
            raise UserError(f"the value of claim {id} is {value}; mend the measurement, or skip the claim and say why")
        row = _row(claim) | {
            "value": value,
            "interval": None if interval is None else [float(b) for b in interval],
            "n": None if n is None else int(n),
            "verdict": "met" if claim.met(value) else "missed",
            "note": note,
        }
        if null is not None:
            row["null"] = null if isinstance(null, str) else float(null)
        if not self.applies(id):  # measured all the same
            row |= {"verdict": "not judged", "note": "; ".join(filter(None, [note, APPLIES[claim.applies]]))}
        if row["verdict"] == "met" and as_by_null(claim.mark, value, row["interval"], row["null"]):
            row["note"] = "; ".join(filter(None, [note, WITHIN]))
        self.rows[id] = row
        return row

    def skip(self, id: str, why: str) -> dict:
        """Say why a claim cannot be judged here, for instance a truth file that only the organism has."""
        self.rows[id] = _row(self._new(id)) | {"note": why}
        return self.rows[id]

    def no_power(self, id: str, why: str, value=None, n: int | None = None) -> dict:
        """Say that the measurement could not have shown the effect: base rate, ceiling or reliability leave no room."""
        row = self.skip(id, why) | {"verdict": "no power", "value": None if value is None else float(value), "n": n}
        self.rows[id] = row
        return row

    def _all(self) -> list[dict]:
        """A row for every declared claim, in the declared order."""
        why = {i: "" if self.applies(i) else APPLIES[c.applies] for i, c in self.claims.items()}
        return [self.rows.get(i) or _row(c) | {"note": why[i]} for i, c in self.claims.items()]

    def table(self) -> pd.DataFrame:
        """One row per declared claim, in the declared order; those without an outcome are "not judged"."""
        return pd.DataFrame(self._all(), columns=COLUMNS)

    def save(self) -> Path:
        """Write ``<out>/claims/<NN>.json``; :class:`UserError` if the folder cannot be written."""
        path = self.out / "claims" / f"{self.notebook}.json"
        record = {
            "notebook": self.notebook, "model_id": self.model, "world": self.world, "parameters": self.parameters,
            "declared": declaration_hash(self.notebook), "claims": self._all(),
        }  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            os.replace(part, path)
        except OSError as e:
            raise UserError(f"cannot write {path}: {e.strerror}; choose another --out") from e
        return path


def _row(claim: Claim) -> dict:
    """The table row of a claim that has no outcome yet."""
    return {
        "id": claim.id, "claim": claim.text, "mark": claim.mark, "value": None, "interval": None, "null": claim.null,
        "n": None, "unit": claim.unit, "paper": claim.paper, "verdict": "not judged", "note": "",
    }  # fmt: skip


def declaration_hash(notebook: str) -> str:
    """Sixteen hex digits over a notebook's declared claims."""
    text = json.dumps([asdict(c) for c in declared(number(notebook)).values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _saved(out, notebook: str) -> dict:
    """What a notebook saved: model_id, world, parameters, claims (rows by id); :class:`UserError` if it is damaged."""
    path = Path(out) / "claims" / f"{notebook}.json"
    try:
        record = json.loads(path.read_text())
        rows = {r["id"]: r for r in record["claims"]}
        return {"world": True, "model_id": record["model_id"]} | record | {"claims": rows}
    except FileNotFoundError:  # not run, or just begun anew beside this one
        return {"model_id": None, "world": True, "claims": {}}
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path} is damaged; delete it and run notebook {notebook} again") from e


def model_of(out, numbers: list[str]) -> str | None:
    """The model on which the first of these notebooks that saved claims did so; None if none did."""
    return next((model for nb in numbers if (model := _saved(out, nb)["model_id"])), None)


def subject_of(out) -> dict:
    """Of the subject of a run folder: ``parameters`` and ``world``, whether its texts are known; empty if unsaid."""
    told = (_saved(out, nb) for nb in notebooks())
    return next(({k: r[k] for k in ("parameters", "world")} for r in told if r.get("parameters")), {})


def _by_time(out) -> list[str]:
    """Numbers of the notebooks that saved claims, the latest first."""
    paths = (Path(out) / "claims" / f"{nb}.json" for nb in notebooks())
    return [p.stem for p in sorted((p for p in paths if p.exists()), key=lambda p: -p.stat().st_mtime_ns)]


def collect(out, model_id: str | None = None, unfinished: dict[str, str] | None = None) -> pd.DataFrame:
    """Outcomes of all notebooks of a run folder, every declared claim once.

    "not judged" until rerun: a result of another model than ``model_id`` (default: that of the results saved last),
    one saved under another mark, text or unit than now declared, and those of ``unfinished`` (number: why) notebooks.
    """
    model_id, rows = model_of(out, _by_time(out)) if model_id is None else model_id, []
    records = {nb: _saved(out, nb) for nb in notebooks()}
    kinds = [r["world"] for r in records.values() if r["model_id"] == model_id]
    world = any(kinds) or not kinds  # a notebook that reads results alone (13) knows of no world
    for nb, record in records.items():
        saved, why = record["claims"], "" if record["claims"] else "notebook not run"
        if saved and record["model_id"] != model_id:
            saved, why = {}, "of another model; run this notebook again"
        if nb in (unfinished or {}):
            saved, why = {}, unfinished[nb]
        for claim in declared(nb).values():
            fresh = _row(for_subject(claim, world))
            row = saved.get(claim.id) or fresh | {"note": why}
            changed = [f"{k} was {row.get(k)!r}" for k in ("mark", "claim", "unit") if row.get(k) != fresh[k]]
            if changed:
                row = fresh | {"note": f"{'; '.join(changed)} when measured; run notebook {nb} again"}
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _cell(value) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_cell(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown(df: pd.DataFrame) -> str:
    """A claims table as a Markdown table, numbers to three digits, empty columns left out."""
    filled = [c for c in df.columns if any(_cell(v) for v in df[c])]
    lines = ["| " + " | ".join(filled) + " |", "|" + "---|" * len(filled)]
    lines += ["| " + " | ".join(_cell(v) for v in row) + " |" for row in df[filled].itertuples(index=False)]
    return "\n".join(lines)
