"""Damage: what strangers, tools and disks do to files that were whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

DEEP, DIGITS = "@deep@", "@digits@"
"""Stand-ins, as no library writes such values: lists in lists, and a number of 5000 digits."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 256, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0),
    *(1e-320, 1e9, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", " ", "a", "\ud800", "\x00", "a\x1b[2J", "../x", "/etc/passwd", "x" * 3000, "1", "NaN"),
    *([], {}, [[]], [None], {"": None}, [1e9] * 8, DEEP, DIGITS),
)
odd = st.sampled_from(range(len(ODD))).map(ODD.__getitem__) | st.integers() | st.text(max_size=9)


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> bytes:
    """JSON of a value in which one to three places were replaced, removed or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    text = json.dumps(value)
    return with_stand_ins(text).encode()


def with_stand_ins(text: str) -> str:
    """Returns a text with deep lists and long numbers where they are asked for."""
    text = text.replace(json.dumps(DEEP), "[" * 5000 + "]" * 5000)
    return text.replace(json.dumps(DIGITS), "9" * 5000)


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """Returns a value with one place changed."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(odd)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    what = draw(st.integers(0, 9))
    copy = dict(value) if isinstance(value, dict) else list(value)
    if what == 0:
        del copy[key]  # type: ignore[arg-type]
    elif what == 1 and isinstance(copy, list):
        copy.insert(key, copy[key])
    elif what == 2 and isinstance(copy, dict):
        copy[draw(st.text(max_size=5))] = copy.pop(key)
    else:
        copy[key] = _changed(draw, value[key])  # type: ignore[call-overload,index]
    return copy


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes that were cut, overwritten, doubled or mixed with others in one to four places."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(result), 1)))
        length = draw(st.integers(0, 16))
        what = draw(st.integers(0, 4))
        if what == 0:
            del result[place:]
        elif what == 1:
            del result[place : place + length]
        elif what == 2:
            result[place:place] = result[place : place + length]
        elif what == 3:
            result[place : place + length] = draw(st.binary(max_size=16))
        else:
            number = draw(st.sampled_from((0, 1, 255, 2**16, 2**31, 2**32 - 1)))
            result[place : place + 4] = number.to_bytes(4, draw(st.sampled_from(("little", "big"))))
    return bytes(result)


def damaged_text(text: str) -> st.SearchStrategy[bytes]:
    """Bytes of a text with lines that were doubled, removed, replaced or mixed."""
    lines = text.splitlines()
    other = st.sampled_from(
        ("- [" * 200, "a: &a [*a]", "*a", "!!python/object:os.system x", "\ud800")
    )
    line = st.sampled_from(lines) | other | st.text(max_size=20)
    whole = st.lists(line, max_size=len(lines) + 3).map("\n".join)
    return whole.map(lambda text: text.encode("utf-8", "surrogatepass")) | damaged_bytes(
        text.encode()
    )
