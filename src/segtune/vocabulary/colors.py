"""Colours of classes as people and tools write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Color = tuple[int, int, int]

_HEX = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_NUMBERS = re.compile(r"(?:rgba?)?\(?\s*(\d+)\s*[, ]\s*(\d+)\s*[, ]\s*(\d+)\s*(?:[,/ ].*)?\)?")


def read_color(value: Any) -> Color | None:
    """Returns (r, g, b) of 0..255; None where it is not understood, or where there is none.

    Args:
        value: "#rrggbb", "#rgb", "rgb(1, 2, 3)", "1, 2, 3", or a list of three numbers or four,
            the last of which is opacity.

    Example:
        >>> read_color("#804080"), read_color([1.0, 2, 3, 255]), read_color("rgb(1, 2, 3)")
        ((128, 64, 128), (1, 2, 3), (1, 2, 3))
        >>> read_color(None) is None
        True
    """
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, Sequence) and len(value) in (3, 4):
        return _from_numbers(value[:3])
    return None


def _from_text(text: str) -> Color | None:
    if text.startswith("#") and (found := _HEX.fullmatch(text)):
        digits = found[1] if len(found[1]) > 3 else "".join(digit * 2 for digit in found[1])
        r, g, b = (int(digits[i : i + 2], 16) for i in (0, 2, 4))
        return (r, g, b)
    if found := _NUMBERS.fullmatch(text):
        return _from_numbers(found.groups())
    return None


def _from_numbers(values: Sequence[Any]) -> Color | None:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    if not all(number.is_integer() and 0 <= number <= 255 for number in numbers):
        return None
    r, g, b = map(int, numbers)
    return (r, g, b)
