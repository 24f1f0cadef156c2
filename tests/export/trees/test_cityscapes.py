"""Cityscapes and KITTI, number by number, as their own documents define them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segtune.export.trees.cityscapes import CityscapesSink, KittiSink, train_ids
from segtune.ops.segments import segments_from_semantic
from segtune.types import IGNORE, Concept, Segmentation, Vocabulary

WORDS = Vocabulary((Concept("car"), Concept("Road", kind="stuff"), Concept("bicycle")))
LABELS = np.array([[1, 0, 1, 0], [1, 0, 1, IGNORE], [1, 1, 2, 2]], np.int32)
RESULT = Segmentation(LABELS.shape, WORDS, LABELS, segments_from_semantic(LABELS, WORDS))


def read(path: Path) -> list[list[int]]:
    return np.asarray(Image.open(path)).tolist()


def test_three_maps(tmp_path: Path) -> None:
    sink = CityscapesSink()
    sink.open(tmp_path, WORDS)
    sink.add("x", None, RESULT)
    assert read(tmp_path / "x_gtFine_labelIds.png") == [
        [7, 26, 7, 26],
        [7, 26, 7, 0],
        [7, 7, 33, 33],
    ]
    assert read(tmp_path / "x_gtFine_labelTrainIds.png") == [
        [0, 13, 0, 13],
        [0, 13, 0, 255],
        [0, 0, 18, 18],
    ]
    assert read(tmp_path / "x_gtFine_instanceIds.png") == [
        [7, 26000, 7, 26001],
        [7, 26000, 7, 0],
        [7, 7, 33000, 33000],
    ]


def test_kitti_has_a_byte_of_class_and_a_byte_of_object(tmp_path: Path) -> None:
    sink = KittiSink()
    sink.open(tmp_path / "semantic", WORDS)
    sink.add("x", None, RESULT)
    assert read(tmp_path / "semantic" / "x.png")[0] == [7, 26, 7, 26]
    assert read(tmp_path / "instance" / "x.png") == [
        [7 * 256, 26 * 256 + 1, 7 * 256, 26 * 256 + 2],
        [7 * 256, 26 * 256 + 1, 7 * 256, 0],
        [7 * 256, 7 * 256, 33 * 256 + 1, 33 * 256 + 1],
    ]


def test_a_class_is_known_by_any_of_its_names() -> None:
    words = Vocabulary((Concept("automobile", ("CAR",)), Concept("sky")))
    assert train_ids(words) == [13, 10]
