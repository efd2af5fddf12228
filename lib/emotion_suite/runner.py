"""Runs the chain of notebooks, the tests, or JupyterLab; ``./run_all.sh`` calls it.

    ./run_all.sh [run] [--model M] [--base M] [--dtype float32] [--profile quick|default|paper] [--only 03]
                       [--from 02] [--stories S] [--param k=v] [--jobs N] [--out DIR] [--keep] [--fresh]
    ./run_all.sh models [word of a name]
    ./run_all.sh compare [A B ...]
    ./run_all.sh test [options for pytest]
    ./run_all.sh lab [options for jupyter lab]

A notebook that ran before with the same source, library, parameters, model and inputs is not run again. One that
fails stops only those that need it.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from emotion_concepts.errors import UserError
from emotion_concepts.lm.models import DTYPES
from emotion_concepts.lm.zoo import entry, partner
from emotion_concepts.report import claims
from emotion_concepts.report.results import writable
from emotion_suite import archive, chain, compare, exercises, model_list, parameters, profiles, publish, reruns
from emotion_suite.notebook import DISCOVERY, ONCE

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
UNCHANGED, FAILED, NOT_RUN = "unchanged", "failed", "not run"  # stand where a notebook has no minutes


def notebooks(folder: Path | None = None) -> list[Path]:
    """The numbered notebooks in their order."""
    folder = folder or NOTEBOOKS
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise UserError(f"no numbered notebooks in {folder}; run this from a clone of the repository")
    return found


def choose(every: list[Path], only: list[str] | None, start: str | None) -> list[Path]:
    """Those named by ``--only`` (``03`` or ``03-geometry``) and ``--from``; :class:`UserError` for an unknown one."""
    numbers = {p.name[:2]: p for p in every}
    names = {p.stem: n for n, p in numbers.items()} | {n: n for n in numbers}
    wanted = [n for text in only or [] for n in text.split(",")]
    for n in [*wanted, *([start] if start else [])]:
        if names.get(n.removesuffix(".ipynb")) is None:
            raise UserError(f"unknown notebook {n!r}; there is {', '.join(numbers)}")
    keep = {names[n.removesuffix(".ipynb")] for n in wanted} or set(numbers)
    first = names[start.removesuffix(".ipynb")] if start else ""
    return [p for n, p in numbers.items() if n in keep and n >= first]


def library_hash() -> str:
    """Digest of the packages under ``lib/``."""
    return reruns.library_hash(ROOT / "lib")


def results_folder(out: str | None, model: str, profile: str) -> Path:
    """The run's folder, made and tried; :class:`UserError` if nothing can be written there."""
    name = model.strip("./").replace("/", "--").replace("\\", "--")
    folder = (Path(out).expanduser() if out else ROOT / "runs" / name / profile).resolve()
    return writable(folder)


def _stopped_at(target: Path) -> str:
    """The cell that was running when the kernel died, as far as the half-written notebook tells."""
    cells = parameters.read(target).cells if target.exists() else []
    cells = [c for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]
    at = [i for i, c in enumerate(cells, 1) if c.metadata.get("papermill", {}).get("start_time")]
    return str(at[-1]) if at else "unknown"


def execute(path: Path, target: Path, given: dict) -> None:
    """Run one notebook by papermill; :class:`UserError` names notebook, cell (from 1, in the source) and error."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # its message comes in the UserError
    os.environ[ONCE] = "1"  # kernels inherit it
    try:
        papermill.execute_notebook(
            str(path), str(target), given, cwd=str(path.parent), progress_bar=False, log_output=False,
            kernel_name="python3", language="python",  # whatever the notebook says of a kernel, or nothing
            extra_arguments=["--log-level=50"],  # the kernel shares our terminal, and calls its own end an error
        )  # fmt: skip
    except PapermillExecutionError as e:
        first = next((line.strip() for line in str(e.evalue).splitlines() if line.strip()), "")
        # papermill counts from 0, with a cell of its own behind the parameters
        tagged = ["parameters" in c.metadata.get("tags", []) for c in parameters.read(path).cells].index(True)
        cell = e.cell_index + (e.cell_index <= tagged)
        raise UserError(f"{path.name}, cell {cell}: {e.ename}: {first} (see {target})") from e
    except (DeadKernelError, CellTimeoutError) as e:
        cell = _stopped_at(target)
        raise UserError(f"{path.name}, cell {cell}: the kernel died, perhaps out of memory (see {target})") from e


def run(args) -> int:
    """Execute the chosen notebooks in order and print what came out; 1 if any of them failed."""
    every = notebooks()
    chosen = choose(every, args.only, args.start)
    profiles.settings(args.profile)
    extra = parameters.parse(args.param, chosen)
    model = reruns.model_fingerprint(args.model)
    base = args.base if args.base is not None else partner(args.model)
    models = model + (reruns.model_fingerprint(base) if base else "")
    out = results_folder(args.out, args.model, args.profile)
    # relative where it can be, so that nothing of this machine's paths reaches an output
    shown = os.path.relpath(out, NOTEBOOKS) if out.is_relative_to(ROOT) and every[0].parent == NOTEBOOKS else str(out)
    given = {"model": _absolute(args.model), "base": _absolute(base), "dtype": args.dtype, "device": args.device}
    given |= {"system": args.system, "profile": args.profile, "out": shown}
    given |= {"stories": _absolute(args.stories), "writer": args.writer, "writer_model": args.writer_model}
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars would fill the outputs; papermill can lose long ones (hazard 11)
    library, took, failures = library_hash(), {}, {}
    paths = {p.stem[:2]: p for p in every}
    records, reads = {n: reruns.Record.load(out, p.stem) for n, p in paths.items()}, chain.waits_for(list(paths))
    many = min(len(chosen), chain.lanes(args.jobs, reruns.weights(args.model), args.device))

    def step(nb: str) -> None:
        path, record = paths[nb], records[nb]
        if path not in chosen:
            return
        if DISCOVERY in failures and DISCOVERY in reads[nb]:
            print(f"{path.stem:28s} not run: it needs notebook {DISCOVERY}", flush=True)
            took[nb] = NOT_RUN
            return
        takes = parameters.declared(path)
        values = {k: v for k, v in (given | extra[path]).items() if k in takes}
        upstream = reruns.written(out, [records[n] for n in sorted(reads[nb])])
        if "results" in takes:  # it reads what all runs found
            upstream["results"] = reruns.folder_digest(ROOT / "results")
        key = reruns.key_of(path, values, library, models, upstream)
        if args.fresh:
            record.forget(out)
        try:
            took[nb] = _one(path, out, values, key, model, record)
        except UserError as e:
            took[nb], failures[nb] = FAILED, e

    start, known = time.monotonic(), archive.load_run(ROOT / "results" / "organism" / "default").get("minutes", {})
    with chain.shared_cores(many):
        chain.side_by_side(step, reads, many, {name[:2]: m for name, m in known.items()})
    elapsed, took = (time.monotonic() - start) / 60, {paths[n].stem: took[n] for n in sorted(took)}
    own = [n for n, record in records.items() if record.model == model]
    try:
        report(out, took, elapsed, claims.model_of(out, own) or "")
    finally:
        for _, e in sorted(failures.items()):
            complain(e)
    if failures:
        return 1
    free = {k: getattr(args, k) for k in ("only", "start", "fresh", "jobs")}  # these change no number
    plain = vars(args) == vars(parser().parse_args([])) | free
    about = archive.record(out, archive.short_name(args.model), args.profile, vars(args))
    if plain:
        publish.publish(out, ROOT, chosen, about)
    elif args.keep:
        archive.keep(out, ROOT / "results" / about["model"] / args.profile, about)
    return 0


def _absolute(model: str) -> str:
    """A local folder or file as the notebooks, which run in their own folder, find it; anything else as it is."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model and entry(model) is None and path.exists() else model


def _one(path: Path, out: Path, values: dict, key: str, model: str, record: reruns.Record) -> float | str:
    """Run one notebook unless it is current; the minutes, or "unchanged"."""
    if record.is_current(out, key):
        print(f"{path.stem:28s} unchanged ({record.minutes:.1f} min when it ran)", flush=True)
        return UNCHANGED
    print(f"{path.stem:28s} running ...", flush=True)
    (out / "claims" / f"{path.stem[:2]}.json").unlink(missing_ok=True)  # earlier outcomes do not stand in for new ones
    before, start = reruns.files_of(out), time.monotonic()
    record.key, record.model, record.done = key, model, False
    record.save(out)
    try:
        execute(path, out / path.name, values)
        record.done = True
    except UserError:
        print(f"{path.stem:28s} FAILED", flush=True)
        raise
    finally:
        record.minutes = (time.monotonic() - start) / 60
        record.note_outputs(out, before)
        record.save(out)
    print(f"{path.stem:28s} {record.minutes:.1f} min", flush=True)
    return record.minutes


def report(out: Path, took: dict[str, float | str], elapsed: float, model_id: str) -> None:
    """Print the tables of minutes (``elapsed``: by the clock) and claims; the claims also go to ``claims.md``."""
    unfinished = {name[:2]: f"notebook {word}" for name, word in took.items() if word in (FAILED, NOT_RUN)}
    text = claims.markdown(claims.collect(out, model_id, unfinished))
    (out / "claims.md").write_text(text + "\n")
    print("\nminutes")
    for name, minutes in took.items():
        print(f"  {name:26s} {minutes if isinstance(minutes, str) else f'{minutes:.1f}':>9s}")
    print(f"  {'by the clock':26s} {elapsed:9.1f}\n")
    print(text)
    print(f"\nresults: {out}")


def test(options: list[str]) -> int:
    """pytest over ``tests/`` and, cell by cell (nbval, lax), over copies of the notebooks set to the quick profile.

    The answers of each notebook's exercises are the last cells of its copy.
    """
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    folder = ROOT / "runs" / "nbval"
    shutil.rmtree(folder, ignore_errors=True)
    out, copies = results_folder(str(folder / "out"), "organism", "quick"), []
    for path in notebooks():
        takes = parameters.declared(path)
        given = {k: v for k, v in {"profile": "quick", "out": str(out)}.items() if k in takes}
        nb = parameterize_notebook(load_notebook_node(str(path)), given)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        exercises.append_answers(nb, exercises.of_notebook(path))
        nbformat.write(nb, folder / path.name)
        copies.append(str(folder / path.name))
    chosen = [] if any(Path(o.split("::")[0]).exists() for o in options) else [str(ROOT / "tests"), *copies]
    nbval = ["--nbval-lax", "--nbval-current-env"]
    return subprocess.call([sys.executable, "-m", "pytest", *nbval, *chosen, *options], cwd=ROOT)


def lab(options: list[str]) -> int:
    """JupyterLab in the folder of notebooks."""
    return subprocess.call([sys.executable, "-m", "jupyterlab", *options], cwd=NOTEBOOKS)


def models(options: list[str]) -> int:
    """The table of the zoo, of one word's models if it is given."""
    if len(options) > 1:
        raise UserError("models takes one word of a name at most, such as: ./run_all.sh models qwen3")
    print(model_list.table(*options))
    return 0


def compared(names: list[str]) -> int:
    """The claims of several results side by side."""
    return compare.main(names, ROOT / "results")


def parser() -> argparse.ArgumentParser:
    """The command line of ``run``."""
    raw = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(prog="./run_all.sh", description=__doc__, formatter_class=raw)
    p.add_argument("--model", default="organism", help="a name of the zoo, hub name[@revision], folder or .gguf file")
    p.add_argument("--base", help="the pretrained partner of --model, '' for none (default: the zoo's)")
    p.add_argument("--dtype", default="float32", choices=DTYPES, help="number format of the models' weights")
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps, or spread over all devices")
    p.add_argument("--system", help="system prompt of every chat; '' for none (default: the template's own)")
    p.add_argument("--stories", default="auto", help="auto, own (the model writes), shared (ours), or a corpus file")
    p.add_argument("--writer", default="", metavar="URL", help="OpenAI-compatible server that writes the stories")
    p.add_argument("--writer-model", default="", help="the writer's name on that server")
    p.add_argument("--profile", default="default", help="sample, quick, default or paper")
    p.add_argument("--only", action="append", metavar="NN", help="run this notebook only (repeatable)")
    p.add_argument("--from", dest="start", metavar="NN", help="run this notebook and the later ones")
    p.add_argument("--param", action="append", default=[], metavar="k=v", help="set a notebook parameter (repeatable)")
    p.add_argument("--jobs", type=_count, default=0, help="notebooks at a time (default: one a core for small models)")
    p.add_argument("--out", help="folder for results (default: runs/<model>/<profile>)")
    p.add_argument("--keep", action="store_true", help="copy the run's numbers to results/<model>/<profile>")
    p.add_argument("--fresh", action="store_true", help="delete earlier results of the chosen notebooks first")
    return p


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a number of notebooks, 1 or more, not {text!r}")
    return int(text)


def complain(e: UserError) -> None:
    """One line on stderr."""
    print(f"error: {' '.join(str(e).split())}", file=sys.stderr)


def main(argv=None) -> int:
    """Entry point; a user's mistake or a failing notebook is one line on stderr and exit status 1."""
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = {"run": lambda options: run(parser().parse_args(options)), "models": models, "compare": compared}
    commands |= {"test": test, "lab": lab}
    command = argv.pop(0) if argv and argv[0] in commands else "run"
    try:
        return commands[command](argv)
    except UserError as e:
        complain(e)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, the same command goes on from here", file=sys.stderr, flush=True)
        os._exit(130)  # without waiting for the notebooks at work; their kernels end with this process


if __name__ == "__main__":
    sys.exit(main())
