"""What the numbers in a user's label maps mean, where they are not simply the class ids.

--label-values 0=background,255=object    which class a number is; several may be one class
--ignore-value none | 0 | 0,255           which numbers are unlabelled; by default 255 and 65535
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtune.data.images import IGNORE_8_BIT, IGNORE_16_BIT, read_label_map
from segtune.data.labels import ValueMap
from segtune.data.samples import Record
from segtune.errors import DataError
from segtune.types import IGNORE, Vocabulary

EXAMPLE = "--label-values 0=background,255=object"
MAPS_LOOKED_AT = 32
"""Label maps that are read to see whether there is more than 0 and 255."""


def value_map(
    names: Vocabulary | None, *, label_values: str | None, ignore_value: str | None
) -> tuple[Vocabulary, ValueMap]:
    """Returns the classes and what numbers mean by the two options.

    Args:
        names: class names in the order of their ids; None takes those of `label_values`.
        label_values: `number=name,...`; None means that numbers are class ids.
        ignore_value: numbers that are unlabelled, or "none". With "none" and two classes without
            `label_values`, 255 is the second class.

    Raises:
        DataError: an option is not understood, or names a class that is not there.

    Example:
        >>> words, values = value_map(None, label_values="0=ground,255=car", ignore_value=None)
        >>> words.names, values.decode(np.array([[0, 255]])).tolist()
        (('ground', 'car'), [[0, 1]])
    """
    ignored = _ignored(ignore_value)
    if label_values is None:
        assert names is not None  # read asks for them before
        ids = {number: number for number in range(len(names))}
        if ignore_value == "none" and len(names) == 2:
            ids[IGNORE_8_BIT] = 1
        if ignored is None:
            return names, ValueMap.plain(len(names))
        return names, ValueMap(ids | dict.fromkeys(ignored, IGNORE))
    pairs = _pairs(label_values)
    if names is None:
        names = Vocabulary.of(*dict.fromkeys(pairs.values()))
    known = {name.lower(): i for i, name in enumerate(names.names)}
    if lacking := [name for name in pairs.values() if name.lower() not in known]:
        raise DataError(
            f"--label-values names {lacking[0]!r}, which is no class; the classes are "
            f"{', '.join(names.names[:5])}{', ...' if len(names) > 5 else ''}"
        )
    if ignored is None:
        ignored = tuple(v for v in (IGNORE_8_BIT, IGNORE_16_BIT) if v not in pairs)
    if both := sorted(set(ignored) & set(pairs)):
        raise DataError(f"{both[0]} is in --label-values and in --ignore-value; choose one")
    ids = {number: known[name.lower()] for number, name in pairs.items()}
    declared = tuple(pairs)
    return names, ValueMap(ids | dict.fromkeys(ignored, IGNORE), declared=declared)


def ask_about_binary_maps(
    records: Sequence[Record], names: Vocabulary, values: ValueMap, *, path: Path
) -> None:
    """Raises where label maps hold nothing but 0 and 255, so that classes would have no pixel.

    Args:
        records: with label files; some of them are read, and most data needs one.
        names: the classes.
        values: what the numbers mean without an answer.
        path: of the data, for the message.

    Raises:
        DataError: with the question what 255 is.
    """
    seen: set[int] = set()
    for record in records[:: max(len(records) // MAPS_LOOKED_AT, 1)]:
        if record.label is None:
            continue
        try:
            seen |= set(np.unique(read_label_map(record.label)).tolist())
        except (DataError, OSError):
            continue  # told where it is read
        if seen - {0, IGNORE_8_BIT} and seen - {0, IGNORE_16_BIT}:
            return
    high = max(seen, default=0)
    if values.ids.get(high) != IGNORE:
        return
    last = names.names[1] if len(names) > 1 else names.names[0]
    first = names.names[0] if len(names) > 1 else "background"
    lost = f"{last!r} has no pixel" if len(names) > 1 else f"only 0 is {last!r}"
    raise DataError(
        f"the label maps of {path} hold only 0 and {high}, and {high} counts as unlabelled, so "
        f"{lost}; is {high} the foreground? then add --label-values '0={first},{high}={last}' or "
        f"--ignore-value none; if it is unlabelled, add --ignore-value {high}"
    )


def _pairs(text: str) -> dict[int, str]:
    """Returns number -> class name."""
    pairs: dict[int, str] = {}
    for part in text.split(","):
        number, equals, name = (word.strip() for word in part.partition("="))
        if not equals or not name or not number.isdecimal() or int(number) > IGNORE_16_BIT:
            raise DataError(f"--label-values {text!r} is not understood; type {EXAMPLE}")
        if int(number) in pairs:
            raise DataError(f"--label-values names {number} twice; once is enough")
        pairs[int(number)] = name
    return pairs


def _ignored(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) <= IGNORE_16_BIT for word in words):
        raise DataError(f"--ignore-value {text!r} is not understood; type none, 0 or 0,255")
    return tuple(map(int, words))
