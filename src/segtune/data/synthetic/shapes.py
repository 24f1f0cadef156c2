"""Outlines of things as signed distance functions.

Each function takes coordinates `u`, `v` (any equal shapes, float32, the unit circle just holds the
outline) and returns the signed distance to the outline, negative inside, in the same units.
Distances give anti-aliasing, bevels and soft shadows for free. The formulas are the classic exact
ones by Inigo Quilez ("2D distance functions").
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

from segtune.data.synthetic.noise import Field

Outline = Callable[[Field, Field], Field]


def _box(u: Field, v: Field, half_u: float, half_v: float) -> Field:
    du, dv = np.abs(u) - half_u, np.abs(v) - half_v
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return outside + np.minimum(np.maximum(du, dv), 0)


def _segment(u: Field, v: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Squared distance to the segment from `start` to `end`."""
    edge_u, edge_v = end[0] - start[0], end[1] - start[1]
    from_u, from_v = u - start[0], v - start[1]
    along = np.clip(
        (from_u * edge_u + from_v * edge_v) * (1 / (edge_u * edge_u + edge_v * edge_v)), 0, 1
    )
    return (from_u - along * edge_u) ** 2 + (from_v - along * edge_v) ** 2


def circle(u: Field, v: Field) -> Field:
    return np.hypot(u, v) - 0.9


def square(u: Field, v: Field) -> Field:
    return _box(u, v, 0.74, 0.74)


def triangle(u: Field, v: Field) -> Field:
    root, half = math.sqrt(3.0), 0.84
    x, y = np.abs(u) - half, v + half / root
    fold = x + root * y > 0
    x, y = np.where(fold, (x - root * y) / 2, x), np.where(fold, (-root * x - y) / 2, y)
    x = x - np.clip(x, -2 * half, 0)
    return -np.hypot(x, y) * np.sign(y) - 0.02


def star(u: Field, v: Field) -> Field:
    radius, sector, tip = 1.0, math.pi / 5, math.pi / 3.1
    fold = np.mod(np.arctan2(u, v), np.float32(2 * sector)) - np.float32(sector)
    length = np.hypot(u, v)
    x = length * np.cos(fold) - radius * math.cos(sector)
    y = length * np.abs(np.sin(fold)) - radius * math.sin(sector)
    reach = radius * math.sin(sector) / math.sin(tip)
    along = np.clip(-(x * math.cos(tip) + y * math.sin(tip)), 0, reach)
    x, y = x + along * math.cos(tip), y + along * math.sin(tip)
    return np.hypot(x, y) * np.sign(x)


def ring(u: Field, v: Field) -> Field:
    return np.abs(np.hypot(u, v) - 0.66) - 0.25


def heart(u: Field, v: Field) -> Field:
    scale = 1.5
    x, y = np.abs(u) / scale, 0.53 - v / scale
    lobe = np.sqrt((x - 0.25) ** 2 + (y - 0.75) ** 2) - math.sqrt(2) / 4
    slope = 0.5 * np.maximum(x + y, 0)
    tail = np.sqrt(np.minimum(x**2 + (y - 1) ** 2, (x - slope) ** 2 + (y - slope) ** 2))
    return np.where(x + y > 1, lobe, tail * np.sign(x - y)) * scale


def cross(u: Field, v: Field) -> Field:
    return np.minimum(_box(u, v, 0.88, 0.29), _box(u, v, 0.29, 0.88))


def crescent(u: Field, v: Field) -> Field:
    return np.maximum(np.hypot(u, v) - 0.92, 0.7 - np.hypot(u - 0.44, v))


def arrow(u: Field, v: Field) -> Field:
    tail, neck, tip, shaft, head = -0.95, 0.02, 0.95, 0.25, 0.74
    y = np.abs(v)
    corners = [(tail, 0.0), (tail, shaft), (neck, shaft), (neck, head), (tip, 0.0)]
    squared = _segment(u, y, corners[0], corners[1])
    for start, end in itertools.pairwise(corners[1:]):
        squared = np.minimum(squared, _segment(u, y, start, end))
    in_shaft = (u > tail) & (u <= neck) & (y < shaft)
    in_head = (u > neck) & (y * (tip - neck) < (tip - u) * head)
    return np.where(in_shaft | in_head, -1, 1) * np.sqrt(squared)


OUTLINES: dict[str, Outline] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "heart": heart,
    "cross": cross,
    "crescent": crescent,
    "arrow": arrow,
}
