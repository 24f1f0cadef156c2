"""Words that a person typed in one line, taken apart: by commas, and by what others use for them.

    road, car | automobile        commas; `|` is for synonyms
    road; car    道路、汽车    ...     semicolons, and commas of other scripts
    cat. dog. tree.               full stops, as GroundingDINO and SAM 3 are asked

Everything but plain commas is told in the log; where a text can mean two things, it is asked.
"""

from __future__ import annotations

import logging
import re

from segtune.errors import SegtuneError

logger = logging.getLogger(__name__)

SEMICOLONS = ";\uff1b\u061b"
OTHER_COMMAS = "\uff0c\u3001\u060c\ufe50\uff64"
"""Full-width, ideographic and Arabic ones."""
_OTHERS = re.compile(f"[{SEMICOLONS}{OTHER_COMMAS}]")
_STOP = re.compile(r"\s*\.\s+")


def split_words(text: str) -> list[str]:
    """Returns the words of a line; no empty one after a separator at the end.

    Raises:
        SegtuneError: a word is empty, or the separators can be read in two ways.

    Example:
        >>> split_words("road, car,"), split_words("cat. dog. tree."), split_words("道路、汽车")
        (['road', 'car'], ['cat', 'dog', 'tree'], ['道路', '汽车'])
    """
    text = text.strip()
    others = dict.fromkeys(_OTHERS.findall(text))
    if "," in text and any(mark in SEMICOLONS for mark in others):
        raise SegtuneError(
            f"the list {text!r} has commas and semicolons; type commas between classes, and | "
            "between the names of one class"
        )
    if not others and "," not in text:
        return _by_stops(text)
    parts = [part.strip() for part in _OTHERS.sub(",", text).split(",")]
    if not parts[-1]:
        parts.pop()
    if not all(parts):
        raise SegtuneError(
            f"the list {text!r} has an empty entry between two commas; remove one comma"
        )
    parts[-1:] = [_without_stop(part) for part in parts[-1:]]
    if others:
        _tell(parts, " ".join(others))
    return parts


def has_separator(text: str) -> bool:
    """Whether a line has a comma or a semicolon of any script in it."""
    return "," in text or _OTHERS.search(text) is not None


def _by_stops(text: str) -> list[str]:
    """Returns the words between full stops, where these are meant to separate them."""
    ends = text.endswith(".")
    parts = [part.strip() for part in _STOP.split(text.removesuffix(".")) if part.strip()]
    if len(parts) < 2:
        return [word for word in (_without_stop(text),) if word]
    if not ends and len(parts) == 2 and " . " not in text:
        raise SegtuneError(
            f"is {text!r} one class or two? type {text + ','!r} for one, or a comma between two"
        )
    _tell(parts, ".")
    return parts


def _without_stop(word: str) -> str:
    """Returns a word without the full stop that ends a sentence; abbreviations keep theirs."""
    return word[:-1].strip() if word.endswith(".") and word.count(".") == 1 else word


def _tell(words: list[str], separator: str) -> None:
    some = ", ".join(words[:4]) + (", ..." if len(words) > 4 else "")
    logger.info("words are separated by %s: %s", separator, some)
