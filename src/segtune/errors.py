"""The errors that a user can meet; each says what was given, what was expected, what to type.

Everything a user can cause is one of these or a plain `FileNotFoundError`; the command line prints
the message as one line and exits with status 2. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SegtuneError(ValueError):
    """A mistake in what was asked for: bad option, bad vocabulary, mismatched sizes."""


class DataError(SegtuneError):
    """Something on disk is missing, unreadable, truncated or in an unknown layout."""


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
