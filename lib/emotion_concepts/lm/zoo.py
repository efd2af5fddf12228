"""Which models are known by name, where their files lie, and what is known of their worlds (``zoo.yaml``)."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.lm.world import World


@cache
def zoo() -> dict:
    """The whole of ``zoo.yaml``."""
    return yaml.safe_load((files("emotion_concepts") / "lm" / "zoo.yaml").read_text())


@dataclass(frozen=True)
class Source:
    """Where a model's files are: a folder or a hub name, and the revision where one was asked for."""

    path: str
    revision: str | None = None


def entry(name: str) -> dict | None:
    """What the zoo says of a model; None for a name that is not in it."""
    return zoo()["models"].get(name)


def partner(name: str) -> str:
    """The pretrained partner of a model of the zoo; empty where none is known."""
    return (entry(name) or {}).get("base", "")


def _in_package(source: dict, name: str) -> Path:
    """Folder of a checkpoint inside an installed package; :class:`UserError` when it is not there."""
    spec = importlib.util.find_spec(source["package"])
    path = Path(spec.submodule_search_locations[0]) / source["folder"] if spec else None
    if path is None or not (path / "config.json").exists():
        rebuild = f"python -m {source['package']}.train"
        raise UserError(f"the shipped checkpoint of {name!r} is missing; restore it with git, or rebuild it: {rebuild}")
    return path


def locate(name_or_path: str) -> Source:
    """Where a model comes from: the folder of a checkpoint, or a hub name as it was given.

    :class:`UserError` for a folder without configuration or weights, and for a path that does not exist.
    """
    known = entry(str(name_or_path))
    path = _in_package(known["source"], name_or_path) if known else name_or_path
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} holds no config.json; give the folder of a Hugging Face checkpoint")
        if not (any(folder.glob("*.safetensors*")) or any(folder.glob("*.bin*"))):
            raise UserError(f"{folder} holds no weights (*.safetensors); download them or rebuild the checkpoint")
        return Source(str(folder))
    if str(path).startswith((".", "/", "~")):
        raise UserError(f"no folder {path}; give a local checkpoint, a hub name, or a name of the zoo")
    name, _, revision = str(path).partition("@")
    return Source(name, revision or None)


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
