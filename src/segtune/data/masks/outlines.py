"""From masks to polygons that are exactly their outlines: along the corners of pixels.

Two corners that follow each other in a row bound a horizontal edge, two in a column a vertical one,
so that sorting alone gives all edges and a walk along them the rings. Pixels that touch in a corner
only belong to different rings.

    rings       outer outlines and holes
    polygons    the same for formats without holes: a hole is joined to its outline by a cut of no
                width, which fills by COCO's rule, and by even and odd, leave open
    traced      one ring through the centres of border pixels, for tools that draw the line itself
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ring:
    """One closed outline.

    Attributes:
        corners: (P, 2) int64 (x, y) of pixel corners, alternately along a row and a column; the
            first two are the upper side at the left.
        is_hole: what is inside of it is outside of the mask.
    """

    corners: np.ndarray
    is_hole: bool


def rings(mask: np.ndarray) -> list[Ring]:
    """Returns all outlines of a (H, W) bool mask, from top to bottom.

    Example:
        >>> [(ring.corners.tolist(), ring.is_hole) for ring in rings(np.ones((1, 2), bool))]
        [([[0, 0], [2, 0], [2, 1], [0, 1]], False)]
    """
    padded = np.pad(mask.astype(np.int8), 1)
    above, below = padded[:-1], padded[1:]
    pixels = above[:, :-1] + above[:, 1:] + below[:, :-1] + below[:, 1:]
    touches = (pixels == 2) & (above[:, :-1] == below[:, 1:])
    count = (pixels % 2) + 2 * touches
    ys, xs = (np.repeat(each, count[count > 0]) for each in np.nonzero(count))
    copy = np.zeros(len(xs), np.int64)  # 1 for the second of two corners at one place
    copy[1:] = (xs[1:] == xs[:-1]) & (ys[1:] == ys[:-1])
    rises = touches[ys, xs] & (above[ys, xs] == 0)  # upper right touches lower left
    order = np.lexsort((np.where(rises, 1 - copy, copy), ys, xs))
    below_or_above = np.empty_like(order)
    below_or_above[order] = order[np.arange(len(order)) ^ 1]
    found, is_used = [], np.zeros(len(xs), bool)
    for first in range(len(xs)):
        if is_used[first]:
            continue
        ring, here = [], first
        while not is_used[here]:
            ring += [here, here ^ 1]
            is_used[here] = is_used[here ^ 1] = True
            here = int(below_or_above[here ^ 1])
        corners = np.stack([xs[ring], ys[ring]], axis=1)
        found.append(Ring(corners, not mask[ys[first], xs[first]]))
    return found


def polygons(mask: np.ndarray) -> list[np.ndarray]:
    """Returns one (P, 2) int64 (x, y) polygon per connected part, with cuts to its holes."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    outer: dict[int, np.ndarray] = {}
    holes: list[tuple[int, np.ndarray]] = []
    for ring in rings(mask):
        x, y = ring.corners[0]
        if ring.is_hole:
            holes.append((int(parts[y - 1, x]), ring.corners))
        else:
            outer[int(parts[y, x])] = ring.corners
    for part, hole in holes:
        outer[part] = joined(outer[part], hole)
    return list(outer.values())


def joined(polygon: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns both (P, 2) polygons as one, with a cut of no width where they come close."""
    near = np.abs(polygon - other[0]).sum(1).argmin()
    start = np.abs(other - polygon[near]).sum(1).argmin()
    turned = np.roll(other, -start, axis=0)
    parts = (polygon[: near + 1], turned, turned[:1], polygon[near : near + 1], polygon[near + 1 :])
    return np.concatenate(parts)


def single_polygon(mask: np.ndarray) -> np.ndarray:
    """Returns one (P, 2) polygon of all parts, for formats with one per object; (0, 2) if empty."""
    parts = polygons(mask)
    whole = parts[0] if parts else np.zeros((0, 2), np.int64)
    for part in parts[1:]:
        whole = joined(whole, part)
    return whole


def traced(ring: Ring) -> np.ndarray:
    """Returns (P, 2) int64 (x, y) of border pixels, between which the line stays in the mask.

    For rings that are no holes.
    """
    corners = ring.corners
    after = np.roll(corners, -1, axis=0)
    step = np.sign(after - corners)
    # Outer rings run clockwise: the mask lies below an edge to the right, left of an edge down.
    left = np.where(step[:, 1] > 0, corners[:, 0] - 1, corners[:, 0])
    upper = np.where(step[:, 0] < 0, corners[:, 1] - 1, corners[:, 1])
    is_across = step[:, 0] != 0
    before = np.roll(np.arange(len(corners)), 1)
    column = np.where(is_across, left[before], left)
    row = np.where(is_across, upper, upper[before])
    return np.stack([column, row], axis=1)
