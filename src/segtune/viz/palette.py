"""Colours of classes: distinct, pleasant over photographs, and the same for an index every time.

After a dozen chosen by eye, colours are picked greedily in OKLab (Ottosson 2020), where distance
follows what eyes see: each next one is the candidate farthest from all before it. So the colour of
class i does not depend on how many classes there are. Candidates keep to middle lightness and clear
chroma: black, white and greys stay free for lines, text and "no class".
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from segtune.types import Vocabulary

MAX_DISTINCT = 1024
"""From this index on, colours repeat."""

_FIRST = (
    (66, 118, 214),
    (242, 176, 44),
    (234, 92, 84),
    (44, 170, 160),
    (146, 98, 214),
    (104, 174, 70),
    (232, 124, 178),
    (154, 106, 72),
    (124, 192, 242),
    (190, 206, 74),
    (178, 44, 92),
    (64, 116, 128),
)
"""The first colours, chosen by eye; all others follow from them."""


def class_colors(vocabulary: Vocabulary) -> np.ndarray:
    """Returns (K, 3) uint8 RGB: `Concept.color` where it is set, else the palette's colour.

    Example:
        >>> from segtune.types import Concept
        >>> class_colors(Vocabulary((Concept("sky", color=(1, 2, 3)), Concept("sea")))).shape
        (2, 3)
    """
    colors = palette(len(vocabulary)).copy()
    for i, concept in enumerate(vocabulary):
        if concept.color is not None:
            colors[i] = concept.color
    return colors


def coloured(vocabulary: Vocabulary) -> Vocabulary:
    """Returns the vocabulary with the colour of every concept filled in."""
    rows = class_colors(vocabulary).tolist()
    concepts = (
        replace(concept, color=(r, g, b))
        for concept, (r, g, b) in zip(vocabulary, rows, strict=True)
    )
    return replace(vocabulary, concepts=tuple(concepts))


def palette(num_classes: int) -> np.ndarray:
    """Returns (num_classes, 3) uint8 RGB; row i is the same for every `num_classes`."""
    size = 64
    while size < min(num_classes, MAX_DISTINCT):
        size *= 2
    return np.resize(_greedy(size), (num_classes, 3))


@lru_cache
def _greedy(count: int) -> np.ndarray:
    """Returns the first `count` colours, (count, 3) uint8 RGB."""
    candidates = _candidates()
    lab = _oklab(candidates)
    picked = np.empty((count, 3), dtype=np.uint8)
    nearest = np.full(len(lab), np.inf)
    for i in range(count):
        picked[i] = _FIRST[i] if i < len(_FIRST) else candidates[nearest.argmax()]
        nearest = np.minimum(nearest, ((lab - _oklab(picked[i : i + 1])) ** 2).sum(1))
    return picked


def _candidates() -> np.ndarray:
    """Returns (N, 3) uint8 RGB colours with middle lightness and enough chroma."""
    steps = np.arange(20, 256, 11)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, a, b = _oklab(rgb).T
    chroma = np.hypot(a, b)
    return rgb[(lightness > 0.5) & (lightness < 0.88) & (chroma > 0.08) & (chroma < 0.21)].astype(
        np.uint8
    )


def _oklab(rgb: np.ndarray) -> np.ndarray:
    """Returns (N, 3) OKLab coordinates of (N, 3) sRGB 0..255."""
    srgb = rgb / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _RGB_TO_LMS.T)
    return cones @ _LMS_TO_LAB.T


_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
