"""Options against the fields of a config: what fits, what is turned into tuples, what is named."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

import pytest

from segtune.errors import SegtuneError
from segtune.systems.options import checked


@dataclass(frozen=True)
class Config:
    """One field of every kind that configs have."""

    flag: bool = False
    count: int = 1
    rate: float = 0.5
    name: str = ""
    form: Literal["a", "b", 3] = "a"
    grid: tuple[int, int] = (2, 2)
    words: tuple[str, ...] = ()
    layers: int | None = None
    shape: tuple[int, ...] | None = None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, {}),
        ({}, {}),
        ({"flag": True, "count": 0}, {"flag": True, "count": 0}),
        ({"rate": 1}, {"rate": 1}),
        ({"form": "b"}, {"form": "b"}),
        ({"form": 3}, {"form": 3}),
        ({"grid": [3, 4]}, {"grid": (3, 4)}),
        ({"grid": (3, 4)}, {"grid": (3, 4)}),
        ({"words": []}, {"words": ()}),
        ({"words": ["x", "y"]}, {"words": ("x", "y")}),
        ({"layers": None}, {"layers": None}),
        ({"layers": 5}, {"layers": 5}),
        ({"shape": [1, 2, 3]}, {"shape": (1, 2, 3)}),
        ({"shape": None}, {"shape": None}),
    ],
)
def test_what_fits_is_returned_with_tuples_for_lists(given, kept):
    assert checked(Config, "it", given) == kept


@pytest.mark.parametrize(
    "given",
    [
        {"flag": 1},
        {"flag": "true"},
        {"count": True},
        {"count": 2.0},
        {"rate": True},
        {"rate": "0.1"},
        {"name": 3},
        {"form": "c"},
        {"grid": [1]},
        {"grid": [1, 2, 3]},
        {"grid": [1, "2"]},
        {"grid": 2},
        {"words": "abc"},
        {"words": ["a", 1]},
        {"layers": 1.5},
        {"shape": [None]},
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(given):
    name = next(iter(given))
    with pytest.raises(SegtuneError, match=rf"it option {name}=.*; expected "):
        checked(Config, "it", given)


def test_unknown_options_are_listed_with_the_known_ones():
    with pytest.raises(SegtuneError, match="no option colour, size; options are count, flag"):
        checked(Config, "it", {"size": 1, "colour": 2})


def test_a_config_comes_back_from_json_and_the_given_options_stay_as_they_are():
    config = Config(grid=(5, 6), words=("a",), shape=(1,))
    options = json.loads(json.dumps(asdict(config)))
    assert Config(**checked(Config, "it", options)) == config
    assert options["words"] == ["a"]
