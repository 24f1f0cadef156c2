"""What is written for YOLO comes back with the same pixels, holes and parts included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from segtune.data.formats import open_dataset
from segtune.data.formats.yolo.writing import write_data_file, write_lines
from segtune.ops.segments import segments_from_semantic
from segtune.types import Segment, Segmentation, Vocabulary
from tests.data import trees

WORDS = Vocabulary.of("no", "dog: big")


def test_forty_label_maps_come_back(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    maps = {}
    for number in range(40):
        size = (37, 53)
        soft = ndimage.gaussian_filter(random.normal(size=size), random.uniform(0, 3))
        labels = np.digitize(soft, np.quantile(soft, [0.3, 0.7])).astype(np.int32) - 1
        name = f"x{number:02d}"
        maps[name] = labels
        trees.save_image(tmp_path / "images" / f"{name}.jpg", size=size)
        result = Segmentation(size, WORDS, labels, segments_from_semantic(labels, WORDS))
        write_lines(tmp_path / "labels" / f"{name}.txt", result)
    write_data_file(tmp_path / "data.yaml", WORDS, train="images", val="images")
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == WORDS.names
    for index in range(40):
        assert (dataset[index].semantic == maps[dataset[index].id]).all()


def test_parts_and_holes_of_one_object(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[0:3, 0:3] = mask[4:6, 5:8] = True
    mask[1, 1] = False
    segments = (Segment(1, 0.5, (0, 0, 8, 6), mask), Segment(0, 1.0, (0, 0, 1, 1), mask[1:2, 1:2]))
    write_lines(tmp_path / "labels" / "a.txt", Segmentation((6, 8), WORDS, None, segments))
    trees.save_image(tmp_path / "images" / "a.jpg")
    write_data_file(tmp_path / "data.yaml", WORDS, train="images", val="images")
    (found,) = open_dataset(tmp_path)[0].instances
    assert (found.mask == mask).all()
