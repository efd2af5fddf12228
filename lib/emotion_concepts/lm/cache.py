"""The folder for fetched and converted models: what is in it is made once, and appears whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from emotion_concepts.errors import UserError


def cache_folder() -> Path:
    """``$EMOTION_CONCEPTS_CACHE``, or ``~/.cache/emotion-concepts``."""
    return Path(os.environ.get("EMOTION_CONCEPTS_CACHE") or "~/.cache/emotion-concepts").expanduser().absolute()


def once(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, which ``make(part)`` writes under another name if it is not there yet; one process at a time.

    What an earlier process left half-written is thrown away. :class:`UserError` if nothing can be written there.
    """
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():  # another process may have made it meanwhile
                _remove(part)
                try:
                    make(part)
                    os.replace(part, target)
                finally:
                    _remove(part)
    except OSError as e:
        advice = "make room there, or name another folder in EMOTION_CONCEPTS_CACHE"
        raise UserError(f"cannot write {target}: {e.strerror or e}; {advice}") from e
    return target


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
