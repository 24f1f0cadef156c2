"""Plain values of a file or the command line as a typed config: every field is checked.

YAML, JSON, --set ─► plain values ─► `typed` ─► a dataclass, or one line that names the field
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from segtune.errors import SegtuneError, unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    C = TypeVar("C", bound=DataclassInstance)


class Unfit(Exception):
    """A value is not of the type that was asked for."""


def typed(config: type[C], values: Mapping[str, Any], *, source: str, place: str = "") -> C:
    """Returns a dataclass made of plain values; mappings become the dataclasses inside of it.

    Args:
        config: a dataclass; its fields may be numbers, texts, literals, tuples, unions, mappings
            and dataclasses.
        values: field names to values; lists stand for tuples. What a mapping for a dataclass inside
            of it leaves open is as in the default of that field.
        source: file or setting that the values are from, for messages.
        place: dotted path of `config` inside of the source; empty for the whole.

    Raises:
        SegtuneError: a field is unknown, missing, of another type, or out of range.

    Example:
        >>> from segtune.train.config import LoopConfig
        >>> typed(LoopConfig, {"steps": 7, "lr": 0.1}, source="my.yaml").steps
        7
        >>> typed(LoopConfig, {"steps": "many"}, source="my.yaml")
        Traceback (most recent call last):
        segtune.errors.SegtuneError: my.yaml: steps='many'; expected int
    """
    hints = get_type_hints(config)
    known = {field.name: field for field in fields(config)}
    if unknown := [str(name) for name in values if name not in known]:
        what = f"field of {place}" if place else "field"
        raise SegtuneError(f"{source}: {unknown_name(unknown[0], known, what=what)}")
    given = {}
    for name, value in values.items():
        where = f"{place}.{name}" if place else name
        try:
            whole = _with_default(known[name], value)
            given[name] = convert(whole, hints[name], source=source, place=where)
        except Unfit:
            expected = expectation(hints[name], known[name])
            raise SegtuneError(f"{source}: {where}={value!r}; expected {expected}") from None
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            where = f"{place}.{name}" if place else name
            raise SegtuneError(f"{source}: {where} is missing; it must be given")
    try:
        return config(**given)
    except SegtuneError as error:
        raise SegtuneError(
            f"{source}: {place}: {error}" if place else f"{source}: {error}"
        ) from None


def _with_default(field: Field[Any], value: Any) -> Any:
    """Returns a mapping for a dataclass with what it leaves open, as the field defaults to."""
    made = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, Mapping) and is_dataclass(made):
        return {item.name: getattr(made, item.name) for item in fields(made)} | dict(value)
    return value


def convert(value: Any, hint: Any, *, source: str, place: str) -> Any:
    """Returns a value as its type wants it: lists as tuples, mappings as dataclasses.

    Whole numbers do as floats.

    Raises:
        Unfit: it is of another type.
        SegtuneError: it is a mapping for a dataclass, and something in it is wrong.
    """
    kind, members = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if kind is Literal:
        if any(type(value) is type(member) and value == member for member in members):
            return value
        raise Unfit
    if kind in (UnionType, Union):
        return _first_fit(value, members, source=source, place=place)
    if kind is tuple:
        return _as_tuple(value, members, source=source, place=place)
    if kind in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise Unfit
        return dict(value)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return typed(hint, value, source=source, place=place)
        raise Unfit
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise Unfit


def require(
    config: Any, *names: str, least: float | None = None, above: float | None = None
) -> None:
    """Raises where a field of a config is out of range; None is in every range.

    Args:
        names: fields with numbers.
        least: the smallest number that is allowed.
        above: a number that all must exceed.

    Raises:
        SegtuneError: naming the first field that is out of range, NaN included.
    """
    for name in names:
        value = getattr(config, name)
        if value is None:
            continue
        if least is not None and not value >= least:
            raise SegtuneError(f"{name}={value}; expected {least} or more")
        if above is not None and not value > above:
            raise SegtuneError(f"{name}={value}; expected more than {above}")


def expectation(hint: Any, field: Field[Any]) -> str:
    """Returns what a message says is expected: the choices of a literal, else the type."""
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if isinstance(field.type, str):  # as it is written
        return field.type
    return hint.__name__ if isinstance(hint, type) else str(hint)


def plain(value: Any) -> Any:
    """Returns a value as YAML and JSON have it: dataclasses as mappings, tuples as lists.

    Example:
        >>> plain({"sizes": (1, 2)})
        {'sizes': [1, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _first_fit(value: Any, members: tuple[Any, ...], *, source: str, place: str) -> Any:
    for member in members:
        try:
            return convert(value, member, source=source, place=place)
        except Unfit:
            continue
    raise Unfit


def _as_tuple(value: Any, members: tuple[Any, ...], *, source: str, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Unfit
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(value)
    if len(value) != len(members):
        raise Unfit
    return tuple(
        convert(item, member, source=source, place=f"{place}[{number}]")
        for number, (item, member) in enumerate(zip(value, members, strict=True))
    )
