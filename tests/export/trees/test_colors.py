"""Colour-coded maps: every class has its own colour, and the table is read as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segtune.data.formats.maps.color_table import VOC_BORDER, read_color_table
from segtune.export.trees.colors import ColorSink, distinct, write_table
from segtune.types import Concept, Vocabulary
from tests.export.results import IMAGE, WORDS, answer


def test_a_picture_pixel_by_pixel(tmp_path: Path) -> None:
    sink = ColorSink()
    sink.open(tmp_path / "labels", WORDS)
    sink.add("a", IMAGE, answer())
    sink.close()
    colors = np.asarray(Image.open(tmp_path / "labels" / "a.png"))
    lines = (tmp_path / "class_dict.csv").read_text().splitlines()
    assert lines[0] == "name,r,g,b"
    star, grass = ([int(n) for n in line.split(",")[1:]] for line in lines[1:])
    assert colors[0, 0].tolist() == [0, 0, 0]
    assert (colors[1, 1].tolist(), colors[5, 7].tolist()) == (star, grass)


def test_two_thousand_classes_have_two_thousand_colours() -> None:
    colors = distinct(Vocabulary.of(*(f"class {i}" for i in range(2000)))).tolist()
    rows = {tuple(color) for color in colors}
    assert len(rows) == 2000
    assert not rows & {(0, 0, 0), VOC_BORDER}


def test_colours_of_the_data_are_kept_but_for_those_that_mean_unlabelled() -> None:
    words = Vocabulary(
        (
            Concept("night", color=(0, 0, 0)),
            Concept("day", color=(9, 9, 9)),
            Concept("dusk", color=(9, 9, 9)),
            Concept("edge", color=VOC_BORDER),
        )
    )
    colors = [tuple(color) for color in distinct(words).tolist()]
    assert colors[1] == (9, 9, 9)
    assert len({*colors, (0, 0, 0), VOC_BORDER}) == 6


def test_names_with_signs_come_back(tmp_path: Path) -> None:
    names = ("dog, big", 'a "nice" one', "3 lanes", "16, 17, 18", "plain")
    write_table(tmp_path / "class_dict.csv", Vocabulary.of(*names))
    table = read_color_table(tmp_path / "class_dict.csv")
    assert table.vocabulary.names == names
