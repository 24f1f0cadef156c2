"""The values of options: what a word on the command line means, and what it must not be."""

from __future__ import annotations

import argparse
from typing import Any

from segtune.errors import SegtuneError
from segtune.export.sinks import SINKS
from segtune.storage.yaml_files import load_yaml


def setting(text: str) -> tuple[str, Any]:
    """Returns key and value of `key=value`; the value is read as YAML, so numbers are numbers.

    Example:
        >>> setting("lr=1e-3"), setting("layers=odd"), setting("train_grid=[8, 8]")
        (('lr', 0.001), ('layers', 'odd'), ('train_grid', [8, 8]))
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    try:
        return key.strip(), load_yaml(value, where="the value")
    except SegtuneError as error:
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: {error}") from None


def formats(text: str) -> tuple[str, ...]:
    """Returns the output formats of a comma list, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in SINKS]:
        raise argparse.ArgumentTypeError(f"no format {unknown[0]!r}; choose {', '.join(SINKS)}")
    if not names:
        raise argparse.ArgumentTypeError(f"names no format; choose {', '.join(SINKS)}")
    return names


LARGEST = 2**31 - 1
"""Whole number that options take."""


def positive_int(text: str) -> int:
    """Returns a whole number from 1 on."""
    return _at_least(1, text)


def count_or_all(text: str) -> int | None:
    """Returns a whole number from 1 on, None for "all"."""
    return None if text == "all" else _at_least(1, text)


def natural_int(text: str) -> int:
    """Returns a whole number from 0 on."""
    return _at_least(0, text)


def positive_float(text: str) -> float:
    """Returns a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def share(text: str) -> float:
    """Returns a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a whole number from {least} on")
    if value > LARGEST:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is more than {LARGEST}")
    return value
