"""What in labelled data a person should look at before a fit: it can be read, and may be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segtune.data.checks.left_out import LeftOut
from segtune.types import IGNORE, Dataset, Sample

TINY_PX = 9
"""Objects with fewer pixels are clicks that went wrong."""
WHOLE = 0.995
"""Share of the image from which on an object is all of it."""
LARGE_PX = 4000
"""Longer sides cost memory and time."""


def oddities(sample: Sample) -> list[LeftOut]:
    """Returns what is odd about a sample, by reason.

    Example:
        >>> import numpy as np
        >>> unlabelled = Sample("a", np.zeros((2, 2, 3), np.uint8), np.full((2, 2), IGNORE))
        >>> [odd.why for odd in oddities(unlabelled)]
        ['nothing is labelled']
    """
    odd = []
    has_labels = sample.semantic is not None and bool((sample.semantic != IGNORE).any())
    if not has_labels and not sample.instances:
        odd.append(LeftOut(sample.id, "nothing is labelled"))
    for item in sample.instances:
        count = int(item.mask.sum())
        if count == 0:
            odd.append(LeftOut(sample.id, "an object without a pixel"))
        elif count < TINY_PX:
            odd.append(LeftOut(sample.id, f"an object of less than {TINY_PX} pixels"))
        elif count >= WHOLE * item.mask.size:
            odd.append(LeftOut(sample.id, "an object that is the whole image"))
    size = _size(sample)
    if size is not None and max(size) > LARGE_PX:
        odd.append(LeftOut(sample.id, f"a side of more than {LARGE_PX} pixels"))
    return odd


def _size(sample: Sample) -> tuple[int, ...] | None:
    if sample.semantic is not None:
        return sample.semantic.shape
    return sample.instances[0].mask.shape if sample.instances else None


def in_several_splits(datasets: Sequence[Dataset]) -> list[LeftOut]:
    """Returns the names that more than one split has, as where photographs were copied."""
    seen: dict[str, str] = {}
    twice = []
    for dataset in datasets:
        for index in range(len(dataset)):
            name = dataset.sample_id(index)
            if name in seen:
                twice.append(LeftOut(name, f"the same name in {seen[name]} and {dataset.split}"))
            else:
                seen[name] = dataset.split
    return twice


def told(odd: Iterable[LeftOut]) -> list[str]:
    """Returns one sentence per reason, with a count and the first names."""
    from segtune.data.checks.left_out import sentences

    return [line.replace(" left out, ", " to look at, ", 1) for line in sentences(odd)]
