"""Tables of colours as tools write them, and maps read by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.formats.maps.color_table import (
    ColorLoader,
    find_color_table,
    is_color_table,
    read_color_table,
)
from segtune.data.samples import Record
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

ROAD, CAR, VOID = (128, 64, 128), (0, 0, 142), (5, 5, 5)
TABLES = {
    "class_dict.csv": "name,r,g,b\nroad,128,64,128\ncar,0,0,142\nVoid,5,5,5\n",
    "classes.csv": "id;class;red;green;blue\n0;road;128;64;128\n1;car;0;0;142\n2;ignore;5;5;5\n",
    "label_colors.txt": "128 64 128\troad\n0 0 142\t\tcar\n5 5 5\tVoid\n",
    "labelmap.txt": "# label:color_rgb:parts\nroad:128,64,128::\ncar:0,0,142::\nvoid:5,5,5::\n",
    "classes.txt": "road #804080\ncar #00008e\nunlabeled #050505\n",
    "labels.txt": "\ufeffroad 128 64 128\ncar, 0, 0, 142\nvoid (5, 5, 5)\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_tools(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8")
    assert find_color_table(tmp_path) == tmp_path / name
    table = read_color_table(tmp_path / name)
    assert table.vocabulary.names == ("road", "car")
    assert table.ids == {ROAD: 0, CAR: 1, VOID: IGNORE}
    assert table.vocabulary.concepts[1].color == CAR


def test_a_table_in_json(tmp_path: Path) -> None:
    content = [{"name": "road", "color": [128, 64, 128]}, {"name": "car", "color": "#00008e"}]
    file = trees.save_json(tmp_path / "vocabulary.json", content)
    assert read_color_table(file).ids == {ROAD: 0, CAR: 1}


def test_lists_of_names_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("road\ncar 2\nbus\n")
    assert not is_color_table(tmp_path / "classes.txt")
    assert find_color_table(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road,1,2,3\ncar\nbus,4,5,6", "gives 'car' no colour"),
        ("road,1,2,3\ncar,1,2,3", r"gives two classes the colour \(1, 2, 3\)"),
        ("void,1,2,3", "has no class with a colour"),
        ("road,1,2,300", "gives 'road' no colour"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_color_table(tmp_path / "classes.csv")


def test_maps_by_pixel_and_by_palette(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLES["class_dict.csv"])
    loader = ColorLoader(read_color_table(tmp_path / "t.csv"))
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[:3], colors[3:5], colors[5, :4] = ROAD, CAR, VOID
    expected = np.full((6, 8), IGNORE)
    expected[:3], expected[3:5] = 0, 1
    image = trees.save_image(tmp_path / "a.jpg")
    Image.fromarray(colors).save(tmp_path / "a.png")
    Image.fromarray(colors).quantize(8).save(tmp_path / "p.png")
    for name in ("a.png", "p.png"):
        assert (loader(Record("a", image, tmp_path / name)).semantic == expected).all()
    colors[0, 0] = (129, 64, 128)
    Image.fromarray(colors).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"\(129, 64, 128\), .* on 2.1 % .* nearest is road"):
        loader(Record("a", image, tmp_path / "a.png"))
    Image.fromarray(colors[..., 0]).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="is grey, but a table of colours is given"):
        loader(Record("a", image, tmp_path / "a.png"))
