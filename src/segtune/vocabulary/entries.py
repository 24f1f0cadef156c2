"""One vocabulary entry, and a whole list of them, from plain text or plain data.

The shared grammar of comma lists, text files, JSON, YAML and the built-in lists:
`name | synonym | synonym`, a leading `!` for a negative, or a mapping with the keys of `Concept`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from segtune.errors import SegtuneError
from segtune.types import Concept, Kind, Vocabulary

ENTRY_KEYS = ("name", "synonyms", "kind", "group", "color", "isthing")
OTHER_KEYS = ("id", "supercategory", "frequency", "image_count", "instance_count", "synset", "def")
LIST_KEYS = ("classes", "names", "categories", "id2label")


def concept_from(entry: str | Mapping[str, Any] | Concept) -> Concept:
    """Returns the concept that a word with `|` synonyms, or a mapping, describes.

    Example:
        >>> concept_from("car | automobile").names
        ('car', 'automobile')
        >>> concept_from({"name": "road", "kind": "stuff", "color": "#804080"}).color
        (128, 64, 128)
    """
    if isinstance(entry, Concept):
        return entry
    if isinstance(entry, str):
        name, *synonyms = _words(entry)
        return Concept(name, tuple(synonyms))
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise SegtuneError(
            f"vocabulary entry {entry!r} is not understood; give a word or a mapping with a 'name'"
        )
    if unknown := sorted(set(entry) - set(ENTRY_KEYS) - set(OTHER_KEYS)):
        raise SegtuneError(
            f"class {entry['name']!r} has the unknown key {unknown[0]!r}; "
            f"possible keys are {', '.join(ENTRY_KEYS)}"
        )
    name, *synonyms = _words(entry["name"])
    extra = entry.get("synonyms") or ()
    extra = _words(extra) if isinstance(extra, str) else [str(word) for word in extra]
    synonyms += [word for word in extra if word not in (name, *synonyms)]
    group = entry.get("group")
    return Concept(
        name,
        tuple(synonyms),
        kind=_kind(entry),
        group=None if group is None else str(group),
        color=_color(entry),
    )


def vocabulary_from(content: object, *, name: str) -> Vocabulary:
    """Returns the vocabulary that a parsed JSON or YAML document, or a list of entries, describes.

    Args:
        content: a list of entries; or a mapping with one of the keys `classes`, `names`,
            `categories` or `id2label` (a list, or index -> name) and optionally `negatives` and
            `name`; or a mapping index -> name itself.
        name: what to call the vocabulary where the document does not say.
    """
    negatives: tuple[str, ...] = ()
    if isinstance(content, Mapping):
        key = next((key for key in LIST_KEYS if key in content), None)
        if key is not None:
            name = str(content.get("name", name))
            given = content.get("negatives") or ()
            negatives = tuple(_split(given) if isinstance(given, str) else map(str, given))
            content = content[key]
        if isinstance(content, Mapping):
            content = _by_index(content)
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise SegtuneError(
            f"vocabulary {name!r} holds {type(content).__name__}; expected a list of class names, "
            "or a mapping with the key 'classes'"
        )
    return vocabulary_of(content, name=name, negatives=negatives)


def vocabulary_of(
    entries: Iterable[str | Mapping[str, Any] | Concept],
    *,
    name: str,
    negatives: tuple[str, ...] = (),
) -> Vocabulary:
    """Returns the vocabulary of the entries, in order; words that start with `!` are negatives."""
    concepts: list[Concept] = []
    for entry in entries:
        if isinstance(entry, str) and entry.strip().startswith("!"):
            negatives += (entry.strip().lstrip("!").strip(),)
        else:
            concepts.append(concept_from(entry))
    return Vocabulary(tuple(concepts), negatives, name)


def comma_list(text: str, *, name: str) -> Vocabulary:
    """Returns the vocabulary of a list such as `road, car | automobile, !shadow`."""
    return vocabulary_of(_split(text), name=name)


def _split(text: str) -> list[str]:
    """Returns the parts between commas, without the empty part after a trailing comma."""
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if any(not part for part in parts) and len(parts) > 1:
        raise SegtuneError(
            f"the list {text.strip()!r} has an empty entry between two commas; remove one comma"
        )
    return [part for part in parts if part]


def _words(text: str) -> list[str]:
    words = [" ".join(word.split()) for word in text.split("|")]
    if not all(words):
        raise SegtuneError(
            f"the entry {text.strip()!r} has an empty name; write 'name' or 'name | synonym'"
        )
    return list(dict.fromkeys(words))


def _kind(entry: Mapping[str, Any]) -> Kind:
    if "isthing" in entry:
        return "thing" if entry["isthing"] else "stuff"
    kind = entry.get("kind", "thing")
    if kind in ("thing", "stuff"):
        return cast(Kind, kind)
    raise SegtuneError(
        f"class {entry['name']!r} has the kind {kind!r}; expected 'thing' or 'stuff'"
    )


def _color(entry: Mapping[str, Any]) -> tuple[int, int, int] | None:
    color = entry.get("color")
    if color is None:
        return None
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        return (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
    if isinstance(color, Sequence) and len(color) == 3:
        r, g, b = color
        if all(isinstance(value, int) and 0 <= value <= 255 for value in (r, g, b)):
            return (r, g, b)
    raise SegtuneError(
        f"class {entry['name']!r} has the color {color!r}; expected [r, g, b] of 0..255 "
        "or '#rrggbb'"
    )


def _by_index(content: Mapping[Any, Any]) -> list[Any]:
    """Returns the values of {0: name, 1: name, ...} in the order of their indices."""
    try:
        by_index = {int(key): value for key, value in content.items()}
    except (TypeError, ValueError):
        raise SegtuneError(
            f"the vocabulary has none of the keys {', '.join(LIST_KEYS)}; "
            "expected for example {classes: [road, car]}"
        ) from None
    if sorted(by_index) != list(range(len(by_index))):
        raise SegtuneError(
            f"the class indices run from {min(by_index)} to {max(by_index)} with gaps; "
            "number the classes 0, 1, 2, ..."
        )
    return [by_index[index] for index in range(len(by_index))]
