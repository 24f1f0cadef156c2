"""Titled pictures in a grid: image, truth and predictions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from segtune.errors import SegtuneError
from segtune.types import Segmentation
from segtune.viz.overlay import draw_overlay, legend_chips
from segtune.viz.text import FAINT, PAPER, draw_chips, draw_text, font_size_for, shorten, text_width


@dataclass(frozen=True)
class Panel:
    """One picture of a grid.

    Attributes:
        image: (H, W, 3) uint8 RGB of any size.
        title: one line above it, cut where it is too long.
        note: fainter text at the right end of the title line, such as a score.
    """

    image: np.ndarray
    title: str = ""
    note: str = ""


def draw_panels(rows: Sequence[Sequence[Panel]], *, width: int = 1600) -> np.ndarray:
    """Returns a grid of panels on paper; every picture is scaled to the width of its column.

    Args:
        rows: one or more rows of panels; shorter rows leave room at the right.
        width: of the whole sheet in pixels.

    Returns:
        (H, width, 3) uint8 RGB.
    """
    num_columns = max((len(row) for row in rows), default=0)
    if num_columns == 0:
        raise SegtuneError("there is nothing to draw; give at least one panel")
    gap = max(6, width // 100)
    column = (width - gap * (num_columns + 1)) // num_columns
    if column < 16:
        raise SegtuneError(
            f"{num_columns} panels do not fit into {width} pixels; pass a larger width"
        )
    size = int(np.clip(font_size_for(width) * 0.75, 11, 22))
    strips = [_draw_row(row, width=width, column=column, gap=gap, size=size) for row in rows if row]
    foot = np.full((gap, width, 3), PAPER, dtype=np.uint8)
    return np.concatenate([*strips, foot])


def draw_comparison(
    image: np.ndarray,
    answers: Mapping[str, Segmentation],
    *,
    notes: Mapping[str, str] | None = None,
    width: int = 1600,
    alpha: float = 0.55,
) -> np.ndarray:
    """Returns the image and its segmentations in one row, with one legend below for all.

    Args:
        image: (H, W, 3) uint8 RGB.
        answers: title -> segmentation, such as "truth" and the names of models; one vocabulary.
        notes: title -> text at the right of the title.
    """
    if not answers:
        raise SegtuneError("there is nothing to compare; give at least one segmentation")
    notes = notes or {}
    panels = [Panel(image, "image", f"{image.shape[1]} x {image.shape[0]}")]
    for title, answer in answers.items():
        picture = draw_overlay(image, answer, alpha=alpha, legend=False)
        panels.append(Panel(picture, title, notes.get(title, "")))
    sheet = draw_panels([panels], width=width)
    chips = legend_chips(*answers.values(), shares=False)
    size = int(np.clip(font_size_for(width) * 0.7, 11, 20))
    return np.concatenate([sheet, draw_chips(chips, width, size=size)])


def _draw_row(row: Sequence[Panel], *, width: int, column: int, gap: int, size: int) -> np.ndarray:
    """Returns one row of panels as a strip of the sheet."""
    heights = [max(1, round(p.image.shape[0] * column / p.image.shape[1])) for p in row]
    has_titles = any(panel.title or panel.note for panel in row)
    top = gap + (round(1.7 * size) if has_titles else 0)
    strip = Image.new("RGB", (width, top + max(heights)), PAPER)
    draw = ImageDraw.Draw(strip)
    for i, (panel, height) in enumerate(zip(row, heights, strict=True)):
        x = gap + i * (column + gap)
        enlarged = column > panel.image.shape[1]
        way = Image.Resampling.BICUBIC if enlarged else Image.Resampling.LANCZOS
        strip.paste(Image.fromarray(panel.image).resize((column, height), way), (x, top))
        if not has_titles:
            continue
        middle = top - round(0.95 * size)
        note_width = text_width(panel.note, size) + size if panel.note else 0
        title = shorten(panel.title, size, column - note_width)
        draw_text(draw, (x, middle), title, size=size)
        draw_text(draw, (x + column, middle), panel.note, size=size, color=FAINT, anchor="rm")
    return np.asarray(strip)
