"""Runs the chain of notebooks; ``./run_all.sh`` calls it.

    python -m emotion_concepts.runner [run] [--model M] [--base M] [--profile quick|default|paper] [--only 03]
                                      [--from 02] [--param k=v] [--out DIR] [--fresh]
"""

import argparse
import ast
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from . import claims, profiles
from .errors import UserError
from .models import load_model
from .strip import commit_copy

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
RUNNER_SETS = ("model", "base", "profile", "out")  # never through --param


def notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks in their order."""
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise UserError(f"no numbered notebooks in {folder}; run this from a clone of the repository")
    return found


def choose(every: list[Path], only: list[str] | None, start: str | None) -> list[Path]:
    """Those named by ``--only`` and ``--from``; :class:`UserError` for an unknown number."""
    numbers = {p.name[:2]: p for p in every}
    for n in [*(only or []), *([start] if start else [])]:
        if n not in numbers:
            raise UserError(f"unknown notebook {n!r}; there is {', '.join(numbers)}")
    chosen = [numbers[n] for n in only] if only else every
    return [p for p in chosen if not start or p.name[:2] >= start]


def declared_parameters(path: Path) -> dict:
    """Names and default values in the notebook's ``parameters`` cell."""
    for cell in nbformat.read(path, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            body = ast.parse(cell.source).body
            return {s.targets[0].id: ast.literal_eval(s.value) for s in body if isinstance(s, ast.Assign)}
    raise UserError(f"{path.name} has no cell tagged 'parameters'; add one")


def parse_parameters(pairs: list[str], chosen: list[Path]) -> dict:
    """``k=v`` pairs as values; :class:`UserError` for a name that no chosen notebook declares, or another type.

    papermill itself only warns of an unknown parameter and exits 0 (hazard 11).
    """
    known: dict = {}
    for path in chosen:
        known |= declared_parameters(path)
    out = {}
    for pair in pairs:
        name, eq, text = pair.partition("=")
        if not eq:
            raise UserError(f"--param {pair!r} is not of the form name=value")
        if name in RUNNER_SETS:
            raise UserError(f"set {name} by --{name}, not by --param")
        if name not in known:
            raise UserError(f"unknown parameter {name!r}; the chosen notebooks take {', '.join(sorted(set(known) - set(RUNNER_SETS)))}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        default = known[name]
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise UserError(f"parameter {name} takes a {type(default).__name__} such as {default!r}, not {text!r}")
        out[name] = value
    return out


def library_hash() -> str:
    """Digest over the sources and data of both packages, weights included."""
    h = hashlib.sha256()
    for folder in ("emotion_concepts", "organism"):
        for path in sorted((ROOT / "lib" / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                h.update(path.relative_to(ROOT).as_posix().encode())
                h.update(path.read_bytes())
    return h.hexdigest()


def source_of(path: Path) -> str:
    """The notebook's cells without outputs."""
    return json.dumps([[c.cell_type, c.source] for c in nbformat.read(path, as_version=4).cells])


def execute(path: Path, target: Path, parameters: dict) -> None:
    """Run one notebook by papermill; :class:`UserError` names notebook, cell and error."""
    try:
        papermill.execute_notebook(
            path, target, parameters, cwd=str(path.parent), progress_bar=False, log_output=False, kernel_name="python3"
        )
    except PapermillExecutionError as e:
        first = next((c for c in str(e.evalue).splitlines() if c.strip()), "")
        raise UserError(f"{path.name}, cell {e.cell_index}: {e.ename}: {first} (see {target})") from e


def run(args) -> int:
    """Execute the chosen notebooks in order and print what came out."""
    every = notebooks()
    chosen = choose(every, args.only, args.start)
    profiles.settings(args.profile)
    extra = parse_parameters(args.param, chosen)
    subject = load_model(args.model)
    default_run = args.model == "organism" and args.profile == "default" and args.out is None and not extra
    name = args.model.strip("/").replace("/", "--")
    out = (Path(args.out) if args.out else ROOT / "runs" / name / args.profile).resolve()
    try:
        if args.fresh and out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").write_text("")
    except OSError as e:
        raise UserError(f"cannot write to {out}: {e.strerror}; choose another --out") from e
    library, model_id, minutes, upstream = library_hash(), subject.model_id, {}, ""
    del subject
    for path in every:
        given = {"model": args.model, "base": args.base, "profile": args.profile, "out": str(out)} | extra
        takes = declared_parameters(path)
        parameters = {k: v for k, v in given.items() if k in takes}
        key = hashlib.sha256(
            json.dumps([library, model_id, source_of(path), parameters, upstream], sort_keys=True).encode()
        ).hexdigest()
        done = out / f"{path.stem}.key"
        if path.name[:2] == "01":
            upstream = key  # later notebooks read what notebook 01 wrote
        if path not in chosen:
            continue
        target = out / path.name
        if done.exists() and done.read_text() == key and target.exists():
            print(f"{path.stem:28s} unchanged", flush=True)
            minutes[path.stem] = 0.0
            continue
        print(f"{path.stem:28s} running ...", end="", flush=True)
        start = time.time()
        done.unlink(missing_ok=True)
        try:
            execute(path, target, parameters)
        except UserError:
            print(" FAILED", flush=True)
            raise
        minutes[path.stem] = (time.time() - start) / 60
        done.write_text(key)
        print(f" {minutes[path.stem]:.1f} min", flush=True)
    report(out, minutes)
    if default_run:
        publish(out, chosen)
    return 0


def report(out: Path, minutes: dict) -> None:
    """The tables of minutes and claims; the claims also as ``claims.md``."""
    table = claims.collect(out)
    text = claims.markdown(table)
    (out / "claims.md").write_text(text + "\n")
    print("\nminutes: " + ", ".join(f"{k[:2]} {v:.1f}" for k, v in minutes.items()) + f"; in all {sum(minutes.values()):.1f}\n")
    print(text)


def publish(out: Path, chosen: list[Path]) -> None:
    """Refresh the committed figures and executed notebooks from a default run."""
    target = ROOT / "figures"
    target.mkdir(exist_ok=True)
    for file in sorted((out / "figures").glob("*")):
        if file.suffix in (".png", ".svg", ".json"):
            shutil.copyfile(file, target / file.name)
    shutil.copyfile(out / "claims.md", target / "claims.md")
    for path in chosen:
        if (out / path.name).exists():
            commit_copy(out / path.name, path)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="run_all.sh run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="organism", help="organism, a local folder, or a hub name")
    p.add_argument("--base", default="organism-base", help="the pretrained partner of --model")
    p.add_argument("--profile", default="default", help="quick, default or paper")
    p.add_argument("--only", action="append", metavar="NN", help="run this notebook only (repeatable)")
    p.add_argument("--from", dest="start", metavar="NN", help="run this notebook and the later ones")
    p.add_argument("--param", action="append", default=[], metavar="k=v", help="set a notebook parameter (repeatable)")
    p.add_argument("--out", help="folder for results (default: runs/<model>/<profile>)")
    p.add_argument("--fresh", action="store_true", help="delete earlier results of this run first")
    return p


def main(argv=None) -> int:
    """Entry point; a user's mistake or a failing notebook is one line on stderr and exit status 1."""
    args = parser().parse_args(argv)
    try:
        return run(args)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
