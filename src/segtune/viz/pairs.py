"""A contact sheet of mask-category pairs: what was cut out, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segtune.data.pairs import Pair
from segtune.errors import SegtuneError
from segtune.viz.panels import Panel, draw_panels
from segtune.viz.text import PAPER

CROP_SIDE = 160
"""Small crops are enlarged to at least this many pixels before they are drawn."""
OUTSIDE = 0.75
"""How far pixels beside a region fade into the paper, 0..1."""


def draw_pairs(
    pairs: Sequence[tuple[Pair, np.ndarray]], *, columns: int = 6, width: int = 1200
) -> np.ndarray:
    """Returns a grid of square crops with the noun above and the score beside it.

    Args:
        pairs: each with its image, (H, W, 3) uint8 RGB.
        columns: pictures per row.
        width: of the sheet in pixels.

    Returns:
        (H', width, 3) uint8 RGB.
    """
    if not pairs:
        raise SegtuneError("there are no pairs to draw; nothing was mined")
    panels = [Panel(cut_out(image, pair), pair.text, f"{pair.score:.2f}") for pair, image in pairs]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return draw_panels(rows, width=width)


def cut_out(image: np.ndarray, pair: Pair, *, margin: float = 0.15) -> np.ndarray:
    """Returns a square (S, S, 3) uint8 crop around a region, whose surroundings are faded.

    Args:
        image: (H, W, 3) uint8 RGB, the whole image of the pair.
        pair: its box and mask.
        margin: added on each side, a share of the longer side of the box; there is paper beyond
            the image.
    """
    x1, y1, x2, y2 = pair.box_px
    longer = max(x2 - x1, y2 - y1)
    side = longer + 2 * max(2, round(longer * margin))
    top, left = (y1 + y2 - side) // 2, (x1 + x2 - side) // 2
    faded = image * (1 - OUTSIDE) + np.array(PAPER) * OUTSIDE
    shown = np.where(pair.mask()[..., None], image, faded).astype(np.uint8)
    square = np.full((side, side, 3), PAPER, np.uint8)
    rows = slice(max(top, 0), min(top + side, image.shape[0]))
    cols = slice(max(left, 0), min(left + side, image.shape[1]))
    square[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = shown[
        rows, cols
    ]
    times = -(-CROP_SIDE // side)
    return square.repeat(times, 0).repeat(times, 1)
