"""Objects of data that has label maps alone: the connected parts of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from scipy import ndimage

from segtune.errors import unknown_name
from segtune.types import Instance, Sample, Vocabulary

R = TypeVar("R")


def connected_objects(
    semantic: np.ndarray, class_ids: Sequence[int], *, min_area: int = 1
) -> tuple[Instance, ...]:
    """Returns the 8-connected regions of some classes as objects, class by class.

    Objects that touch become one, and an object in two pieces becomes two.

    Args:
        semantic: (H, W) class ids.
        min_area: pixels of the smallest object; smaller ones are left out.

    Example:
        >>> labels = np.array([[1, 0, 1], [1, 0, 0]])
        >>> [int(found.mask.sum()) for found in connected_objects(labels, [1])]
        [2, 1]
    """
    found = []
    for class_id in class_ids:
        regions, count = ndimage.label(semantic == class_id, structure=np.ones((3, 3)))
        sizes = np.bincount(regions.ravel(), minlength=count + 1)
        for region_id in range(1, count + 1):
            if sizes[region_id] >= min_area:
                found.append(Instance(int(class_id), regions == region_id))
    return tuple(found)


@dataclass(frozen=True)
class WithObjects(Generic[R]):
    """Adds connected objects to what another loader reads.

    Attributes:
        load: from a record to a sample with a label map.
        class_ids: whose regions are objects.
        min_area: see `connected_objects`.
    """

    load: Callable[[R], Sample]
    class_ids: tuple[int, ...]
    min_area: int

    def __call__(self, record: R) -> Sample:
        sample = self.load(record)
        if sample.semantic is None:
            return sample
        objects = connected_objects(sample.semantic, self.class_ids, min_area=self.min_area)
        return replace(sample, instances=objects)


def grouped(vocabulary: Vocabulary, things: Sequence[str], known: Sequence[str]) -> Vocabulary:
    """Returns a vocabulary whose things are the named ones, "known" or "unseen".

    Raises:
        SegtuneError: a known class is none of the things.
    """
    for name in known:
        if name not in things:
            raise unknown_name(name, things, what="known thing")
    return replace(
        vocabulary,
        concepts=tuple(
            replace(concept, kind="thing", group="known" if concept.name in known else "unseen")
            if concept.name in things
            else replace(concept, kind="stuff")
            for concept in vocabulary
        ),
    )
