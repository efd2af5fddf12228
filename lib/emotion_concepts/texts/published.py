"""Published facts that the suite compares with, read from ``data/``.

Sources: Sofroniew et al., *Emotion Concepts and their Function in a Large Language Model* (2026), and
Russell & Mehrabian, *Evidence for a three-factor theory of emotions* (1977). See ``data/README.md``.
"""

import json
from functools import cache
from importlib.resources import files

import pandas as pd

from emotion_concepts.errors import UserError

DATA = files("emotion_concepts") / "texts" / "data"


@cache
def emotion_words() -> tuple[str, ...]:
    """The paper's 171 emotion words, in alphabetical order."""
    return tuple(DATA.joinpath("emotions171.txt").read_text().split("\n"))[:171]


@cache
def clusters() -> dict[str, tuple[str, ...]]:
    """The paper's ten k-means clusters of the 171 words (figure 6): name -> members."""
    return {k: tuple(v) for k, v in json.loads(DATA.joinpath("clusters10.json").read_text()).items()}


def cluster_of(emotion: str) -> str:
    """Name of the paper's cluster that holds ``emotion``; :class:`UserError` for an unknown word."""
    check_emotions([emotion])
    return next(name for name, members in clusters().items() if emotion in members)


def kin(emotion: str) -> tuple[str, ...]:
    """The other members of the emotion's cluster in the paper."""
    return tuple(e for e in clusters()[cluster_of(emotion)] if e != emotion)


def norms() -> pd.DataFrame:
    """Human ratings of 45 of the words (pleasure, arousal, dominance in -1..1), indexed by word."""
    return pd.read_csv(DATA / "norms_russell_mehrabian_1977.csv", index_col="emotion")


def ratings() -> pd.DataFrame:
    """Valence and arousal (-1..1) of all 171 words: the 45 norms, else the authors' own ratings (``rated_by``)."""
    return pd.read_csv(DATA / "ratings171.csv", index_col="emotion")


def post_training_shift() -> pd.DataFrame:
    """Cosine at the reply position before and after post-training for all 171 words (paper, section 6)."""
    return pd.read_csv(DATA / "post_training_shift171.csv", index_col="emotion")


def preference_elo() -> pd.DataFrame:
    """Elo of the paper's 64 activities by category, post-trained and base model (paper, section 2)."""
    return pd.read_csv(DATA / "preference_elo64.csv")


@cache
def paper_figures() -> dict:
    """Numbers printed in, or read off, the paper's figures; ``_note`` states the reading error."""
    return json.loads(DATA.joinpath("paper_figures.json").read_text())


def check_emotions(names) -> list[str]:
    """Return ``names`` as a list, or raise :class:`UserError` naming the first unknown word."""
    known = set(emotion_words())
    for name in names:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else "; see emotions171.txt for the list"
            raise UserError(f"unknown emotion {name!r}{hint}")
    return list(names)
