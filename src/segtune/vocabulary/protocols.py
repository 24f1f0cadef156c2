"""Zero-shot protocols: which classes of a benchmark carry labels in training, and which do not.

`zero_shot("voc15-5")` is the benchmark's vocabulary in its own order, each concept tagged "seen" or
"unseen"; `vocabulary.ids_in("unseen")` lists the ids. Sources: ZegCLIP and RPN for VOC, COCO-Stuff
and Context, ZegFormer for ADE20K.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin, unknown_name

CONTEXT_UNSEEN = (
    "aeroplane",
    "bird",
    "boat",
    "cat",
    "cow",
    "fence",
    "keyboard",
    "motorbike",
    "sofa",
    "tvmonitor",
)


@dataclass(frozen=True)
class ZeroShotSplit:
    """A built-in vocabulary and the names of its classes that training labels never show."""

    vocabulary: str
    unseen: tuple[str, ...]


@cache
def _splits() -> dict[str, ZeroShotSplit]:
    file = resources.files("segtune.vocabulary").joinpath("unseen_ids.json")
    unseen_ids: dict[str, list[int]] = json.loads(file.read_text("utf-8"))

    def by_id(vocabulary: str) -> ZeroShotSplit:
        names = builtin(vocabulary).names
        return ZeroShotSplit(vocabulary, tuple(names[i] for i in unseen_ids[vocabulary]))

    return {
        "voc15-5": by_id("voc_20"),
        "coco156-15": by_id("coco_stuff_171"),
        "context50-10": ZeroShotSplit("context_60", CONTEXT_UNSEEN),
        "context49-10": ZeroShotSplit("context_59", CONTEXT_UNSEEN),
        "ade572-275": by_id("ade20k_847"),
    }


def protocol_names() -> tuple[str, ...]:
    """Returns the names of the zero-shot protocols."""
    return tuple(_splits())


def zero_shot(name: str) -> Vocabulary:
    """Returns the vocabulary of a zero-shot protocol with the groups "seen" and "unseen".

    Example:
        >>> zero_shot("voc15-5").ids_in("unseen")
        (15, 16, 17, 18, 19)
    """
    if name not in _splits():
        raise unknown_name(name, protocol_names(), what="zero-shot protocol")
    split = _splits()[name]
    concepts = tuple(
        replace(concept, group="unseen" if concept.name in split.unseen else "seen")
        for concept in builtin(split.vocabulary)
    )
    return Vocabulary(concepts, name=name)
