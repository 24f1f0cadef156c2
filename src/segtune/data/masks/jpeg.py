"""Masks that were saved as JPEG, whose compression changes values, most of all at edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtune.errors import DataError

DARK, BRIGHT = 64, 192
"""Values up to and from which a pixel is surely outside or inside."""
MOST_BETWEEN = 0.2
"""Share of pixels between dark and bright beyond which a file is a photograph."""
NEAR = 24
"""How far compression may take a value from the one that was stored."""
EDGE_PX = 4
"""Pixels around an edge that compression blurs."""


def black_and_white(values: np.ndarray, *, path: Path | str) -> np.ndarray:
    """Returns the (H, W) bool mask of a black and white JPEG.

    Args:
        values: (H, W) or (H, W, 3) uint8.
        path: for the message.

    Raises:
        DataError: it holds other values, as class numbers or photographs do.
    """
    from scipy.ndimage import binary_dilation, binary_erosion

    values = values.max(2) if values.ndim == 3 else values
    inside = values >= (DARK + BRIGHT) // 2
    reach = np.ones((3, 3), bool)
    grown = binary_dilation(inside, reach, EDGE_PX)
    edge = grown & ~binary_erosion(inside, reach, EDGE_PX, border_value=1)
    between = (values > DARK) & (values < BRIGHT)
    is_photograph = (between & ~edge).mean() > 0.001 or between.mean() > MOST_BETWEEN
    if is_photograph or (values.any() and not inside.any()):
        raise DataError(
            f"{path} is a JPEG with values between black and white, which its compression "
            "changes; save masks and label maps as .png"
        )
    return np.asarray(inside)


def nearest_declared(
    values: np.ndarray, declared: Sequence[int], *, path: Path | str
) -> np.ndarray:
    """Returns the numbers of a label map as the nearest of those that the user named.

    Args:
        values: (H, W) uint8.
        declared: the numbers; at least two, far apart.
        path: for the message.

    Raises:
        DataError: they are too close to be told apart, or the map holds others.

    Example:
        >>> nearest_declared(np.array([[3, 250, 20]], np.uint8), [0, 255], path="a.jpg").tolist()
        [[0, 255, 0]]
    """
    known = np.sort(np.array(declared, np.int32))
    if len(known) < 2 or np.diff(known).min() < 2 * NEAR:
        raise DataError(
            f"label map {path} is a JPEG, whose compression changes class numbers; they would have "
            f"to be {2 * NEAR} apart; save label maps as .png"
        )
    numbers = values.astype(np.int32)
    borders = (known[1:] + known[:-1] + 1) // 2
    nearest = known[np.searchsorted(borders, numbers, side="right")]
    if (abs(numbers - nearest) > NEAR).mean() > MOST_BETWEEN:
        raise DataError(
            f"label map {path} is a JPEG with values other than {', '.join(map(str, known))}; "
            "save label maps as .png"
        )
    return nearest
