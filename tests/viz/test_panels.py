from __future__ import annotations

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.types import Segmentation, Vocabulary
from segtune.viz.panels import Panel, draw_comparison, draw_panels

RED = np.full((30, 40, 3), (200, 0, 0), dtype=np.uint8)


def test_panels_stand_in_their_columns() -> None:
    sheet = draw_panels([[Panel(RED, "left", "1.0"), Panel(RED)], [Panel(RED)]], width=330)
    assert sheet.shape[1] == 330
    is_red = (sheet == (200, 0, 0)).all(-1)
    # gap 6, two columns of 156 pixels; the second row has only the left one
    assert is_red.sum() == 3 * 156 * 117
    assert is_red[:, :6].sum() == is_red[:, 162:168].sum() == 0


def test_titles_that_are_too_long_are_cut() -> None:
    sheet = draw_panels([[Panel(RED, "a very long title indeed " * 9, "note")]], width=120)
    assert sheet.shape[1] == 120


def test_comparison_has_one_column_more_than_answers() -> None:
    vocabulary = Vocabulary.of("sky", "sea")
    answer = Segmentation((30, 40), vocabulary, np.zeros((30, 40), dtype=np.int32))
    sheet = draw_comparison(
        RED, {"truth": answer, "model": answer}, width=500, notes={"model": "9"}
    )
    assert sheet.shape[1:] == (500, 3)
    assert (sheet == (200, 0, 0)).all(-1).sum() == 158 * 118  # three columns, gaps of 6


@pytest.mark.parametrize(
    ("rows", "width", "message"),
    [([], 100, "at least one"), ([[]], 100, "at least one"), ([[Panel(RED)] * 9], 100, "larger")],
)
def test_impossible_grids_are_refused(rows, width: int, message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        draw_panels(rows, width=width)


def test_comparison_needs_an_answer() -> None:
    with pytest.raises(SegtuneError, match="nothing to compare"):
        draw_comparison(RED, {})
