"""Checking the options of a system against the fields of its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from segtune.errors import SegtuneError
from segtune.storage.typed import Unfit, convert, expectation


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
    known = {field.name: field for field in fields(config)}
    if unknown := sorted(set(given) - set(known)):
        raise SegtuneError(
            f"{system} has no option {', '.join(unknown)}; options are {', '.join(sorted(known))}"
        )
    hints = get_type_hints(config)
    for name, value in given.items():
        try:
            given[name] = convert(value, hints[name], source=system, place=name)
        except Unfit:
            expected = expectation(hints[name], known[name])
            raise SegtuneError(f"{system} option {name}={value!r}; expected {expected}") from None
    return given
