"""How large a run is: the sizes that notebooks ask for, by profile (``profiles.yaml``)."""

import difflib
from functools import cache
from importlib.resources import files

import yaml

from emotion_concepts.errors import UserError


class Sizes(dict):
    """A profile's sizes by name; an unknown name is a :class:`UserError`."""

    def __missing__(self, name):
        close = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "add it to every profile in profiles.yaml"
        raise UserError(f"no size called {name!r}; {hint}")


@cache
def _all() -> dict:
    return yaml.safe_load(files("emotion_suite").joinpath("profiles.yaml").read_text())


def settings(profile: str, shipped: bool = True) -> Sizes:
    """Sizes of a profile, for the shipped model or another; :class:`UserError` for an unknown one."""
    if profile not in _all():
        raise UserError(f"unknown profile {profile!r}; choose one of {', '.join(_all())}")
    sizes = dict(_all()[profile])
    others = sizes.pop("real", {})
    return Sizes(sizes if shipped else sizes | others)
