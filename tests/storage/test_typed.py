from dataclasses import dataclass
from typing import Any, Literal

import pytest

from segtune.errors import SegtuneError
from segtune.storage.typed import Unfit, convert, plain, require, typed


@dataclass(frozen=True)
class Inner:
    a: int = 1


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, 1),
        (1, float, 1),
        (1.5, float, 1.5),
        ("x", str, "x"),
        (None, int | None, None),
        (3, int | None, 3),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([], tuple[int, ...], ()),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1.0, [2.0, 3.0]], tuple[float | tuple[float, ...], ...], (1.0, (2.0, 3.0))),
        ("on", Literal["on", "off"], "on"),
        ({"a": 1}, dict[str, Any], {"a": 1}),
        ({"a": 2}, Inner, Inner(2)),
        ([{"a": 2}, {}], tuple[Inner, ...], (Inner(2), Inner())),
        (Inner(3), Inner | None, Inner(3)),
        ([1], Any, [1]),
    ],
)
def test_values_become_what_their_type_says(value: Any, hint: Any, expected: Any) -> None:
    found = convert(value, hint, source="s", place="p")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (1.0, int),
        ("1", int),
        (True, float),
        (None, int),
        ("x", int | None),
        (1, Literal["1", "2"]),
        (True, Literal[1]),
        ([1], tuple[int, int]),
        ([1, "a"], tuple[int, ...]),
        ("ab", tuple[str, ...]),
        ([], dict[str, Any]),
        (3, Inner),
    ],
)
def test_values_of_another_type_are_refused(value: Any, hint: Any) -> None:
    with pytest.raises(Unfit):
        convert(value, hint, source="s", place="p")


def test_the_place_of_a_mistake_is_named() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Inner
        many: tuple[Inner, ...] = ()

    globals()["Outer"] = Outer
    with pytest.raises(SegtuneError, match=r"^f: inner\.a='x'; expected int$"):
        typed(Outer, {"inner": {"a": "x"}}, source="f")
    with pytest.raises(SegtuneError, match=r"^f: many\[1\]\.a=None; expected int$"):
        typed(Outer, {"inner": {}, "many": [{}, {"a": None}]}, source="f")
    with pytest.raises(SegtuneError, match=r"^f: inner is missing"):
        typed(Outer, {}, source="f")
    assert plain(Outer(Inner(2), (Inner(), Inner(5)))) == {
        "inner": {"a": 2},
        "many": [{"a": 1}, {"a": 5}],
    }


@dataclass(frozen=True)
class Numbers:
    a: float | None = 1.0
    b: float = 0.5


@pytest.mark.parametrize(
    ("a", "least", "above", "message"),
    [
        (0.5, 1, None, "a=0.5; expected 1 or more"),
        (float("nan"), 1, None, "a=nan; expected 1 or more"),
        (0.0, None, 0, "a=0.0; expected more than 0"),
        (float("nan"), None, 0, "a=nan; expected more than 0"),
    ],
)
def test_ranges(a: float, least: float | None, above: float | None, message: str) -> None:
    with pytest.raises(SegtuneError, match=f"^{message}$"):
        require(Numbers(a), "a", least=least, above=above)


def test_what_is_in_range() -> None:
    require(Numbers(1.0), "a", least=1)
    require(Numbers(None), "a", "b", least=0, above=0)
