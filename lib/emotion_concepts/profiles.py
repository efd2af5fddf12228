"""How large a run is: the sizes that notebooks ask for, by profile."""

from functools import cache
from importlib.resources import files

import yaml

from .errors import UserError


@cache
def _all() -> dict:
    return yaml.safe_load(files("emotion_concepts").joinpath("profiles.yaml").read_text())


def profile_names() -> list[str]:
    """The profiles, smallest first."""
    return list(_all())


def settings(profile: str) -> dict:
    """Sizes of a profile; :class:`UserError` for an unknown one."""
    if profile not in _all():
        raise UserError(f"unknown profile {profile!r}; choose one of {', '.join(_all())}")
    return dict(_all()[profile])
