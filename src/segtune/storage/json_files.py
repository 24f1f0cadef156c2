"""JSON from strangers as typed values: a schema once, and one message with file, entry and field.

A schema is a `msgspec.Struct`; what it does not name is not read. Files are decoded straight into
it, several times faster than `json.load`. Only where that fails are they read slowly, entry by
entry, to say what is wrong where; entries of lists can then be left out instead.

    class Entry(msgspec.Struct):
        name: str

    class Document(msgspec.Struct):
        entries: list[Entry]

    read_json(path, Document)    # DataError: f.json: entry 3 of 'entries' has no 'name'
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from segtune.errors import DataError

T = TypeVar("T")

BOM = b"\xef\xbb\xbf"
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "an object in {}",
    "bool": "true or false",
    "null": "null",
}
"""What msgspec calls the types of JSON, and what people do."""
HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""What half of a character beyond 16 bits is written as; whole ones are two of them."""
_EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_LACKING = re.compile(r"missing required field `(.+?)`")
_PLACE = re.compile(r" - at `\$?\.?(.*)`$")


def read_json(path: Path, kind: type[T], *, skipped: list[str] | None = None) -> T:
    """Returns the document of a JSON file.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        kind: a `Struct`, or any type that msgspec knows.
        skipped: receives one sentence per entry of a list in `kind` that does not fit, which is
            then left out; None refuses the first such entry.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no JSON, or does not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check the path")
    return decode_json(path.read_bytes(), kind, where=str(path), skipped=skipped)


def decode_json(
    content: bytes, kind: type[T], *, where: str, skipped: list[str] | None = None
) -> T:
    """Returns the document in the bytes of a JSON file; `where` names it in messages."""
    try:
        return msgspec.json.decode(content.removeprefix(BOM), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass  # damaged, of another type, or with NaN: read slowly, to say which
    return convert(plain_json(content, where=where), kind, where=where, skipped=skipped)


def convert(value: Any, kind: type[T], *, where: str, skipped: list[str] | None = None) -> T:
    """Returns plain data, as `json.loads` gives it, in the form of `kind`.

    Args:
        value: plain data.
        kind: as in `read_json`.
        where: the file and, where there is one, the entry, for messages.
        skipped: as in `read_json`.

    Raises:
        DataError: it does not fit.

    Example:
        >>> convert(["a", 3], list[str], where="names.json")
        Traceback (most recent call last):
        segtune.errors.DataError: names.json: [1] is a whole number; expected text
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fields = _list_fields(kind)
        if not isinstance(value, dict) or not fields:
            raise DataError(f"{where}{explain(str(error))}") from None
    parts = dict(value)
    for name, entry_kind in fields.items():
        if isinstance(value.get(name), list):
            parts[name] = _fitting(value[name], entry_kind, name, where=where, skipped=skipped)
    try:
        return msgspec.convert(parts, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}{explain(str(error))}") from None


def explain(message: str) -> str:
    """Returns what msgspec says, as the end of a sentence that begins with file and entry.

    Example:
        >>> explain("Expected `int`, got `str` - at `$.size[0]`")
        ': size[0] is text; expected a whole number'
        >>> explain("Object missing required field `id`")
        " has no 'id'"
    """
    place = _PLACE.search(message)
    path = place[1] if place else ""
    before = f": {path}" if path else ""
    if lacking := _LACKING.search(message):
        return f"{before} has no {lacking[1]!r}"
    if expected := _EXPECTED.search(message):
        wanted, got = expected[1].split(" | "), expected[2]
        names = " or ".join(TYPES.get(name, name) for name in wanted if name != "null")
        return f"{before} is {TYPES.get(got, got)}; expected {names or 'null'}"
    reason = message[: place.start()] if place else message
    return f"{before}: {reason[:1].lower()}{reason[1:]}"


def entry_name(entry: Any, position: int, kind: str) -> str:
    """Returns what messages call an entry of a list: by its id where it has one.

    Example:
        >>> entry_name({"id": 7}, 0, "annotations"), entry_name({}, 3, "images")
        ('annotation 7', "entry 3 of 'images'")
    """
    known = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(known, int | str) and not isinstance(known, bool):
        singular = kind[:-3] + "y" if kind.endswith("ies") else kind.removesuffix("s")
        return f"{singular} {known}"
    return f"entry {position} of {kind!r}"


def _fitting(
    entries: list[Any], kind: Any, name: str, *, where: str, skipped: list[str] | None
) -> list[Any]:
    """Returns the entries that fit, as plain data."""
    kept = []
    for position, entry in enumerate(entries):
        try:
            msgspec.convert(entry, kind)
        except msgspec.ValidationError as error:
            problem = f"{entry_name(entry, position, name)}{explain(str(error))}"
            if skipped is None:
                raise DataError(f"{where}: {problem}") from None
            skipped.append(problem)
        else:
            kept.append(entry)
    return kept


def _list_fields(kind: Any) -> dict[str, Any]:
    """Returns the fields of a struct that are lists of structs: name in JSON -> type of entries."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    hints = get_type_hints(kind)
    found = {}
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        entry = get_args(hint)[0] if get_origin(hint) is list else None
        if isinstance(entry, type) and issubclass(entry, msgspec.Struct):
            found[field.encode_name] = entry
    return found


def read_settings(path: Path) -> dict[str, Any]:
    """Returns the object in a small JSON file, such as the config.json of a model.

    Raises:
        FileNotFoundError, DataError: no file, no JSON, or no object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check the path")
    values = plain_json(path.read_bytes(), where=str(path))
    if not isinstance(values, dict):
        raise DataError(f"{path} holds no object in {{}}; copy the file again")
    return values


def plain_json(content: bytes, *, where: str) -> Any:
    """Returns the plain data of JSON, as `json.loads` does; NaN is allowed, as Python writes it.

    Raises:
        DataError: it is no JSON, is nested without end, or has half a character or a number of
            thousands of digits.
    """
    try:
        values = json.loads(content.removeprefix(BOM))
        if HALF.search(content):
            json.dumps(values, ensure_ascii=False).encode()
        return values
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where} is not valid JSON: {error.msg} in line {error.lineno}; copy the file again"
        ) from None
    except RecursionError:
        raise DataError(f"{where} is not valid JSON: brackets in brackets without end") from None
    except UnicodeEncodeError:
        raise DataError(f"{where} is not valid JSON: it has half a character") from None
    except ValueError as error:
        reason = "a number of too many digits" if "digits" in str(error) else "not text"
        raise DataError(f"{where} is not valid JSON: {reason}; copy the file again") from None
