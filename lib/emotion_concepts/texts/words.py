"""Whether a text names its emotion: the word, an inflection or a listed synonym, in the sense that is a feeling.

Lists: ``data/synonyms.yaml`` and, for words with an everyday other sense, ``data/homographs.yaml``.
"""

import re
from functools import cache

import yaml

from emotion_concepts.texts.published import DATA

PEOPLE = (
    "i|you|he|she|we|they|who|some(?:one|body)|every(?:one|body)|no(?:body| one)|mother|father|mum|mom|dad|wife|"
    "husband|man|woman|boy|girl|son|daughter|brother|sister|child(?:ren)?|friend|nurse|doctor|teacher|neighbou?r|people"
)
# A capitalised word may be a name, but these stand for things.
NAME = "(?-i:(?!(?:It|That|This|These|Those|There|What|Which|Everything|Nothing|Something|All|Here)\\b)[A-Z][a-z]+)"
IS = (
    "(?: (?:am|is|are|was|were|seems?|seemed|looks?|looked|sounds?|sounded|remains?|remained|stays?|stayed|keeps?|kept|"
    "grows?|grew|becomes?|became|gets?|got)|['’](?:m|re|s)|(?: has| have| had|['’](?:ve|d)) been|"
    " (?:will|would|could|must|should|can|may|might|to) be)"
)
FEEL = "(?:feel|feels|felt|feeling|ma[dk]es? (?:me|you|him|her|us|them)|ke(?:ep|pt) (?:me|you|him|her|us|them))"
BID = "(?:^|[.!?:,;“”\"‘’'] ?)(?:be|stay|keep|remain)"
BETWEEN = (
    "(?: (?:so|very|too|quite|rather|just|still|almost|more|most|less|not|never|always|now|all|as|a bit|a little|"
    "\\w+ly))"
)
BEFORE = f"(?:\\b(?:(?:{PEOPLE})|{NAME}){IS}|\\b{FEEL}|{BID}){BETWEEN}{{0,2}}(?: \\w+,? and)? "
AFTER = (
    "(?:smiles?|laugh|sigh|voice|tone|face|eyes|look|expression|heart|soul|mood|words?|tears|gesture|silence|feelings|"
    "man|woman|child|boy|girl)"
)


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """The direct synonyms of each of the 171 words, which a story of it must not use."""
    lists = yaml.safe_load(DATA.joinpath("synonyms.yaml").read_text(encoding="utf-8"))
    return {emotion: tuple(words) for emotion, words in lists.items()}


@cache
def homographs() -> dict[str, dict[str, str]]:
    """Words with another sense: ``said_of_someone`` and ``not_in``, see the head of the file."""
    return yaml.safe_load(DATA.joinpath("homographs.yaml").read_text(encoding="utf-8"))


@cache
def _pattern(word: str) -> re.Pattern:
    stem = re.escape(word[:-1] if word.endswith(("y", "e")) else word)
    if word.endswith("e"):
        ends = "e(?:s|d|r|st|ly|ness|ful|fully|dly)?|ing|ingly|ion|ity|ety|y"
    elif word.endswith("y"):
        ends = "(?:y|ic|ily|iness|ier|iest|ies|ied)?"
    else:
        ends = f"{word[-1]}?(?:s|ed|er|est|ing|ingly|en|ened|ening|ly|ness|ful|fully|fulness|om|ment|edly|ally|y)?"
    return re.compile(rf"\b{stem}(?:{ends})\b", re.I)


def uses_word(text: str, emotion: str) -> bool:
    """Whether a text contains the emotion word, an inflection or near derivative: sadder, sadness, not saddle."""
    return _pattern(emotion).search(text) is not None


def means_word(text: str, word: str) -> bool:
    """As :func:`uses_word`, but a word with an everyday other sense counts only in the sense that is a feeling."""
    if not uses_word(text, word):
        return False
    known = homographs()
    if word in known["not_in"]:
        text = re.sub(rf"\b(?:{known['not_in'][word]})\b", " ", text, flags=re.I)
    if word in known["said_of_someone"]:
        return re.search(rf"{BEFORE}{re.escape(word)}\b|\b{re.escape(word)} {AFTER}\b", text, re.I) is not None
    return uses_word(text, word)


def named(text: str, emotion: str) -> str | None:
    """The word by which a text names its emotion (its own or a listed synonym), or None."""
    return next((word for word in (emotion, *synonyms().get(emotion, ())) if means_word(text, word)), None)
