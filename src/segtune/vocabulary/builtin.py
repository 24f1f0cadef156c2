"""The class lists of the public benchmarks, by name: `builtin("ade20k_150")`.

The lists are data files in `vocabulary/lists/`; each says in `about` where its order and kinds come
from. Names keep the spelling of the data set ("diningtable", "wall-other"), because scores depend
on it. Which classes are seen and unseen in a zero-shot protocol is in `vocabulary/protocols.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from segtune.errors import SegtuneError, unknown_name
from segtune.types import Concept, Vocabulary
from segtune.vocabulary.entries import concept_from

NameStyle = Literal["synonyms", "joined", "readable"]
"""How the classes of a benchmark are called; see `builtin`."""


@cache
def builtin_names() -> tuple[str, ...]:
    """Returns the names of the built-in vocabularies, sorted."""
    files = resources.files("segtune.vocabulary").joinpath("lists").iterdir()
    return tuple(sorted(f.name.removesuffix(".json") for f in files if f.name.endswith(".json")))


@cache
def builtin(name: str, *, names: NameStyle = "synonyms") -> Vocabulary:
    """Returns the built-in vocabulary `name`.

    Where two classes of ADE20K share their first word ("pot" and "pot, flowerpot"), the one with
    more words is called by its first word that no other class starts with ("flowerpot").

    Args:
        name: one of `builtin_names()`.
        names: how classes are called:
            "synonyms" gives each comma-separated name to the text encoder and pools them with all
            templates, as ZegFormer does;
            "joined" makes them one name, as "road, route", as OVSeg and SimBaseline do;
            "readable" writes run-together and suffixed names as English ("dining table", "sky" for
            "sky-other", "air conditioner" for "air_conditioner"), which no published number does.

    Example:
        >>> builtin("voc_20").names[:3], len(builtin("ade20k_847"))
        (('aeroplane', 'bicycle', 'bird'), 847)
        >>> builtin("ade20k_150", names="joined").names[6]
        'road, route'
    """
    if names not in get_args(NameStyle):
        raise SegtuneError(f"names={names!r} is not known; use {', '.join(get_args(NameStyle))}")
    concepts = [concept_from(entry) for entry in _read(name)["classes"]]
    if names == "joined":
        concepts = [replace(c, name=", ".join(c.names), synonyms=()) for c in concepts]
    if names == "readable":
        readable = _readable_names()
        concepts = [
            replace(c, name=readable.get(c.name, c.name.replace("_", " "))) for c in concepts
        ]
    called = name if names == "synonyms" else f"{name}, {names}"
    return Vocabulary(tuple(_without_repeats(concepts)), name=called)


@cache
def _readable_names() -> dict[str, str]:
    file = resources.files("segtune.vocabulary").joinpath("readable_names.json")
    names: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return names


def describe(name: str) -> str:
    """Returns one sentence about the built-in vocabulary `name`."""
    return str(_read(name)["about"])


@cache
def category_ids(name: str) -> tuple[int, ...]:
    """Returns the ids that the data set's own files use, one per class, in class order."""
    content = _read(name)
    return tuple(content.get("category_ids", range(len(content["classes"]))))


@cache
def _read(name: str) -> dict[str, Any]:
    if name not in builtin_names():
        raise unknown_name(name, builtin_names(), what="built-in vocabulary")
    file = resources.files("segtune.vocabulary").joinpath("lists", f"{name}.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _without_repeats(concepts: list[Concept]) -> list[Concept]:
    """Returns the concepts with distinct names: a repeated first word makes way for a synonym."""
    first_words = Counter(concept.name for concept in concepts)
    distinct = []
    for concept in concepts:
        if first_words[concept.name] > 1 and concept.synonyms:
            name = next(word for word in concept.synonyms if word not in first_words)
            others = tuple(word for word in concept.names if word != name)
            concept = replace(concept, name=name, synonyms=others)
        distinct.append(concept)
    return distinct
