"""Checking the options of a system against the fields of its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from segtune.errors import SegtuneError


def checked(config: type, system: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns options as arguments of a config class; lists become tuples where it wants them.

    Args:
        config: a dataclass.
        system: its name, for messages.
        options: field names to values.

    Raises:
        SegtuneError: an option is unknown, or a value is of another type.
    """
    given = dict(options or {})
    known = {field.name: field.type for field in fields(config)}
    if unknown := sorted(set(given) - set(known)):
        raise SegtuneError(
            f"{system} has no option {', '.join(unknown)}; options are {', '.join(sorted(known))}"
        )
    hints = get_type_hints(config)
    for name, value in given.items():
        if not _fits(value, hints[name]):
            expected = known[name]
            if get_origin(hints[name]) is Literal:
                expected = " or ".join(map(str, get_args(hints[name])))
            raise SegtuneError(f"{system} option {name}={value!r}; expected {expected}")
        if isinstance(value, list):  # no field is a list, so it fitted as a tuple
            given[name] = tuple(value)
    return given


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of the type of a config field; whole numbers do as floats."""
    members = get_args(hint)
    if get_origin(hint) is Literal:
        return value in members
    if get_origin(hint) is UnionType:
        return any(_fits(value, member) for member in members)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            return False
        if len(members) == 2 and members[1] is Ellipsis:
            return all(_fits(item, members[0]) for item in value)
        return len(value) == len(members) and all(map(_fits, value, members))
    return type(value) is hint or (hint is float and type(value) is int)
