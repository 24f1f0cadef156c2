"""Options read off configs: comments, docstrings, headings, and the words of types and values."""

from dataclasses import dataclass
from typing import Literal

import pytest

from segtune.systems import SYSTEMS, configured
from segtune.systems.describe import Option, choices_of, options_of, typed

Shape = Literal["round", "square"]


@dataclass(frozen=True)
class Base:
    """One field.

    Attributes:
        rate: how fast,
            per step.
        low, high: both ends.
    """

    rate: float = 0.5
    low: int = 0
    high: int = 9


@dataclass(frozen=True)
class Config(Base):
    """More fields."""

    # What it looks like,
    # from afar.
    shape: Shape = "round"  # of the thing [P]
    names: tuple[str, ...] = (
        "a",
        "b",
    )  # in order [R][P]

    # Cost.
    silent: int | None = None
    rate: float = 1e-3


def test_meanings_come_from_comments_and_docstrings():
    found = {option.name: option for option in options_of(Config(silent=3))}
    look = "What it looks like, from afar."
    assert list(found) == ["rate", "low", "high", "shape", "names", "silent"]
    assert found["shape"] == Option(
        "shape", "round", "round | square", "of the thing [P]", "P", look
    )
    assert found["names"] == Option("names", "[a, b]", "[text, ...]", "in order [R][P]", "RP", look)
    assert found["silent"] == Option("silent", "3", "whole number | null", "", "", "Cost.")
    assert found["low"].meaning == found["high"].meaning == "both ends."
    assert options_of(Base())[0].meaning == "how fast, per step."


def test_values_and_types_as_they_are_typed():
    values = (True, None, 1.0, 0.001, (1, 2), (), "", "x")
    assert list(map(typed, values)) == ["true", "null", "1", "0.001", "[1, 2]", "[]", "''", "x"]
    assert choices_of(tuple[float, int]) == "[number, whole number]"
    assert choices_of(bool) == "true | false"


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_option_of_every_system_has_a_meaning(name):
    for build in SYSTEMS[name].builds:
        options = options_of(configured(name, build))
        assert [option.name for option in options if not option.meaning] == []
        tags = {letter for option in options for letter in option.tags}
        assert tags <= {letter for letter, _ in SYSTEMS[name].tags}
