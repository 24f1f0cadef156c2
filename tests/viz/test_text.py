from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segtune.viz.text import Chip, draw_chips, draw_text, shorten, text_width


def test_shorten_keeps_what_fits() -> None:
    assert shorten("road", 14, 500) == "road"
    for width in (0, 20, 60):
        short = shorten("a very long name of a class", 14, width)
        assert short.endswith("...")
        assert text_width(short, 14) <= max(width, text_width("...", 14))


@pytest.mark.parametrize("width", [60, 240, 900])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_chips_fit_any_width(width: int, count: int) -> None:
    chips = [Chip((200, 30, 30), f"class number {i}", "3.1 %") for i in range(count)]
    panel = draw_chips(chips, width)
    assert panel.shape[1:] == (width, 3)
    assert (panel == (200, 30, 30)).all(-1).any()


def test_no_chips_take_no_room() -> None:
    assert draw_chips([], 100).shape == (0, 100, 3)


def test_letters_outside_the_font_do_not_fail() -> None:
    sheet = Image.new("RGB", (200, 40))
    draw_text(ImageDraw.Draw(sheet), (5, 20), "café → 道路", size=16, color=(255, 255, 255))
    assert np.asarray(sheet).any()
    assert text_width("café", 16) > 0
