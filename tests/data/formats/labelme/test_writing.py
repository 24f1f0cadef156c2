"""What is written for LabelMe comes back with the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from segtune.data.formats import open_dataset
from segtune.data.formats.labelme.writing import write_labelme
from segtune.ops.segments import segments_from_semantic
from segtune.types import Segment, Segmentation, Vocabulary
from tests.data import trees

WORDS = Vocabulary.of("cat", "dog")


def test_forty_label_maps_come_back(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    maps = {}
    for number in range(40):
        soft = ndimage.gaussian_filter(random.normal(size=(20, 30)), random.uniform(0, 3))
        labels = np.digitize(soft, np.quantile(soft, [0.3, 0.7])).astype(np.int32) - 1
        maps[f"x{number:02d}"] = labels
        trees.save_image(tmp_path / f"x{number:02d}.jpg", size=(20, 30))
        result = Segmentation((20, 30), WORDS, labels, segments_from_semantic(labels, WORDS))
        write_labelme(tmp_path / f"x{number:02d}.json", result, image_name=f"x{number:02d}.jpg")
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == WORDS.names
    for index in range(40):
        assert (dataset[index].semantic == maps[dataset[index].id]).all()


def test_parts_of_an_object_stay_together(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 1:3] = mask[4:6, 5:8] = True
    hole = np.ones((3, 3), bool)
    hole[1, 1] = False
    segments = (Segment(0, 1.0, (0, 0, 8, 6), mask), Segment(1, 1.0, (4, 0, 7, 3), hole))
    write_labelme(
        tmp_path / "a.json", Segmentation((6, 8), WORDS, None, segments), image_name="a.jpg"
    )
    trees.save_image(tmp_path / "a.jpg")
    cat, dog = open_dataset(tmp_path)[0].instances
    assert (cat.mask == mask).all()
    assert (dog.mask[0:3, 4:7] == hole).all()
    kinds = [
        shape["shape_type"] for shape in json.loads((tmp_path / "a.json").read_text())["shapes"]
    ]
    assert kinds == ["polygon", "polygon", "mask"]


def test_an_empty_result_is_a_file_without_shapes(tmp_path: Path) -> None:
    write_labelme(tmp_path / "a.json", Segmentation((6, 8), WORDS), image_name="a.jpg")
    assert json.loads((tmp_path / "a.json").read_text())["shapes"] == []
