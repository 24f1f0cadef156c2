"""Text on pictures: the font, measuring, and rows of colour chips with names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

INK: Color = (32, 36, 44)
"""Text on paper."""
FAINT: Color = (118, 124, 136)
"""Secondary text on paper."""
OUTLINE: Color = (20, 22, 28)
"""Around text on photographs."""
PAPER: Color = (252, 252, 250)
"""Background of legends and panels."""


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SYSTEM_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")


@dataclass(frozen=True)
class Chip:
    """One entry of a legend: a colour, a name, and a note in fainter ink."""

    color: Color
    name: str
    note: str = ""


@lru_cache
def font(size: int) -> Font:
    """Returns Pillow's built-in font at `size` pixels; it has ASCII only."""
    return ImageFont.load_default(size)


@lru_cache
def system_font(size: int) -> Font | None:
    """Returns a font with more letters, if this machine has one of the usual ones."""
    for name in _SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


@lru_cache(maxsize=4096)
def _drawable(text: str, size: int) -> tuple[str, Font]:
    """Returns what can be drawn of `text` and the font for it."""
    if text.isascii():
        return text, font(size)
    if (wide := system_font(size)) is not None:
        return text, wide
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return letters.encode("ascii", "replace").decode(), font(size)


def draw_text(
    draw: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    text: str,
    *,
    size: int,
    color: Color = INK,
    anchor: str = "lm",
    outlined: bool = False,
) -> None:
    """Writes one line; letters that no font here has are written without accents, or as "?".

    Args:
        anchor: Pillow's two letters for where `xy` is, "lm" = left middle.
        outlined: put a dark line around the letters, for text on photographs.
    """
    text, face = _drawable(text, size)
    stroke = max(1, size // 8) if outlined else 0
    draw.text(
        xy, text, fill=color, font=face, anchor=anchor, stroke_width=stroke, stroke_fill=OUTLINE
    )


def font_size_for(width: int) -> int:
    """Returns a text size in pixels that reads well on a picture of this width."""
    return int(np.clip(width / 46, 11, 30))


def text_width(text: str, size: int) -> int:
    """Returns the width of one line in pixels."""
    text, face = _drawable(text, size)
    return round(face.getlength(text))


def shorten(text: str, size: int, width: int) -> str:
    """Returns `text`, cut with an ellipsis where it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def draw_chips(chips: Sequence[Chip], width: int, *, size: int | None = None) -> np.ndarray:
    """Returns a legend: chips in aligned columns, as many as fit into `width`.

    Returns:
        (H, width, 3) uint8 RGB; H is 0 without chips.
    """
    size = size or font_size_for(width)
    pad, line = round(0.9 * size), round(1.75 * size)
    if not chips:
        return np.zeros((0, width, 3), dtype=np.uint8)
    gap = round(0.5 * size)
    widest = max(text_width(f"{chip.name} {chip.note}", size) for chip in chips)
    column = min(widest + size + gap + round(1.6 * size), width - 2 * pad)
    num_columns = max(1, min((width - 2 * pad + round(1.6 * size)) // column, len(chips)))
    num_rows = -(-len(chips) // num_columns)
    sheet = Image.new("RGB", (width, num_rows * line + 2 * pad - (line - size)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, chip in enumerate(chips):
        x, y = pad + (i % num_columns) * column, pad + (i // num_columns) * line
        draw.rounded_rectangle((x, y, x + size, y + size), max(2, size // 4), fill=chip.color)
        x += size + gap
        note_width = text_width(" " + chip.note, size) if chip.note else 0
        room = min(column, width - pad - x + size + gap) - size - gap
        name = shorten(chip.name, size, max(room - note_width, size))
        middle = y + size / 2
        draw_text(draw, (x, middle), name, size=size)
        if chip.note:
            x += text_width(name + " ", size)
            draw_text(draw, (x, middle), chip.note, size=size, color=FAINT)
    return np.asarray(sheet)
