"""The errors that a user can meet; each says what was given, what was expected, what to type.

Everything a user can cause is one of these or a plain `FileNotFoundError`; the command line prints
the message as one line and exits with status 2. Anything else is a bug, and is reported as one.
Words from files are strangers' text: whatever is shown of them goes through `printable`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LONGEST_LINE = 300
"""Characters of a message; of a longer one, beginning and end are shown."""


class SegtuneError(ValueError):
    """A mistake in what was asked for: bad option, bad vocabulary, mismatched sizes."""


class DataError(SegtuneError):
    """Something on disk is missing, unreadable, truncated or in an unknown layout."""


class ImageError(DataError):
    """A picture cannot be read; a long run leaves it out, lists it and goes on."""


class WeightsError(SegtuneError):
    """A checkpoint or prompt file does not fit the model it is loaded into."""


def listed(names: Sequence[str], *, last: str = "or") -> str:
    """Returns names as a sentence lists them.

    Example:
        >>> listed(["SEEM", "SAM", "SAM 2"]), listed(["SEEM"])
        ('SEEM, SAM or SAM 2', 'SEEM')
    """
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def unknown_name(name: str, known: Iterable[str], *, what: str) -> SegtuneError:
    """Returns the error for a `name` that is not among the known ones, with close ones if any."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    return SegtuneError(f"{name!r} is not a {what}; {hint}")


def printable(text: str) -> str:
    """Returns text without control characters: no escapes for terminals, no lines, no half codes.

    White space of any kind becomes one space; so words cannot move a cursor, colour a screen, turn
    the direction of reading, or pose as a second line.

    Example:
        >>> printable("a\\x1b[2Jb\\tc\\u202e")
        'a[2Jb c'
    """
    if text.isprintable():
        return text
    spaced = "".join(" " if sign.isspace() else sign for sign in text)
    return "".join(sign for sign in spaced if sign.isprintable() or sign in "\u200c\u200d")


def one_line(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Returns text as one printable line of at most `longest` characters.

    Of a longer one the end stays too, where messages say what to type.

    Example:
        >>> one_line("a\\nb  c"), one_line("0123456789" * 3, longest=15)
        ('a b c', '0123456 ... 789')
    """
    line = " ".join(printable(text).split())
    if len(line) <= longest:
        return line
    end = longest // 4
    return f"{line[: longest - end - 5]} ... {line[-end:]}"
