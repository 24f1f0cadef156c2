"""Results to write."""

from __future__ import annotations

import numpy as np

from segtune.ops.segments import segments_from_semantic
from segtune.types import IGNORE, Concept, Segmentation, Vocabulary

WORDS = Vocabulary((Concept("star"), Concept("grass", kind="stuff")))
IMAGE = np.zeros((6, 8, 3), np.uint8)


def answer(*, last: int = 1) -> Segmentation:
    """A star on grass, one pixel without a class, and a corner of the class `last`."""
    labels = np.full((6, 8), 1, np.int32)
    labels[1:3, 1:4] = 0
    labels[0, 0] = IGNORE
    labels[5, 7] = last
    return Segmentation((6, 8), WORDS, labels, segments_from_semantic(labels, WORDS))
