"""One vocabulary entry, and a whole list of them, from plain text or plain data.

The shared grammar of comma lists, text files, JSON, YAML and the built-in lists:
`name | synonym | synonym`, a leading `!` for a negative, or a mapping with the keys of `Concept`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from segtune.errors import SegtuneError
from segtune.types import Concept, Kind, Vocabulary
from segtune.vocabulary.colors import read_color
from segtune.vocabulary.separators import split_words

ENTRY_KEYS = ("name", "synonyms", "kind", "group", "color", "isthing")
OTHER_KEYS = ("id", "supercategory", "frequency", "image_count", "instance_count", "synset", "def")
LIST_KEYS = ("classes", "names", "categories", "id2label")


def concept_from(entry: str | float | Mapping[str, Any] | Concept) -> Concept:
    """Returns the concept that a word with `|` synonyms, a number, or a mapping, describes.

    Example:
        >>> concept_from("car | automobile").names
        ('car', 'automobile')
        >>> concept_from({"name": "road", "kind": "stuff", "color": "#804080"}).color
        (128, 64, 128)
    """
    if isinstance(entry, Concept):
        return entry
    if isinstance(entry, str) and "|" not in entry and (plain := " ".join(entry.split())):
        return Concept(plain)
    if _is_word(entry):
        name, *synonyms = _words(str(entry))
        return Concept(name, tuple(synonyms))
    if not isinstance(entry, Mapping) or not _is_word(entry.get("name")):
        given = entry.get("name", "") if isinstance(entry, Mapping) else entry
        hint = "; put it in quotes" if isinstance(given, bool) or given is None else ""
        raise SegtuneError(
            f"vocabulary entry {entry!r} is not understood; give a word or a mapping with a "
            f"'name'{hint}"
        )
    entry = {**entry, "name": str(entry["name"])}
    if unknown := sorted(set(entry) - set(ENTRY_KEYS) - set(OTHER_KEYS)):
        raise SegtuneError(
            f"class {entry['name']!r} has the unknown key {unknown[0]!r}; "
            f"possible keys are {', '.join(ENTRY_KEYS)}"
        )
    name, *synonyms = _words(entry["name"])
    extra = entry.get("synonyms") or ()
    if isinstance(extra, str):
        extra = _words(extra)
    else:
        extra = _listed(extra, f"class {entry['name']!r}", "synonyms")
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
            negatives = tuple(
                split_words(given)
                if isinstance(given, str)
                else _listed(given, f"vocabulary {name!r}", "negatives")
            )
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
    beside: list[str] = list(negatives)
    for entry in entries:
        if isinstance(entry, str) and entry.lstrip().startswith("!"):
            beside.append(entry.strip().lstrip("!").strip())
        else:
            concepts.append(concept_from(entry))
    return Vocabulary(tuple(concepts), tuple(beside), name)


def comma_list(text: str, *, name: str) -> Vocabulary:
    """Returns the vocabulary of a list such as `road, car | automobile, !shadow`.

    Other separators than commas: see `separators.py`.
    """
    return vocabulary_of(split_words(text), name=name)


def _is_word(entry: object) -> bool:
    """Whether an entry is text or a number, which may be a name too."""
    return isinstance(entry, str | int | float) and not isinstance(entry, bool)


def _listed(words: object, owner: str, key: str) -> list[str]:
    """Returns a list of words as text; raises where it is something else."""
    if not isinstance(words, Sequence) or not all(_is_word(word) for word in words):
        raise SegtuneError(f"{owner}: {key} is {str(words)[:60]!r}; expected a list of words")
    return [str(word) for word in words]


def _words(text: str) -> list[str]:
    words = [" ".join(word.split()) for word in text.split("|")]
    if not all(words):
        raise SegtuneError(
            f"the entry {text.strip()!r} has an empty name; write 'name' or 'name | synonym'"
        )
    return list(dict.fromkeys(words))


def _kind(entry: Mapping[str, Any]) -> Kind:
    if entry.get("isthing") is not None:
        is_stuff = str(entry["isthing"]).lower() in ("0", "0.0", "false", "no")
        return "stuff" if is_stuff else "thing"
    kind = entry.get("kind") or "thing"
    if kind in get_args(Kind):
        return cast(Kind, kind)
    raise SegtuneError(
        f"class {entry['name']!r} has the kind {kind!r}; expected 'thing' or 'stuff'"
    )


def _color(entry: Mapping[str, Any]) -> tuple[int, int, int] | None:
    color = entry.get("color")
    if color is None or (found := read_color(color)) is not None:
        return None if color is None else found
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
