"""What is written for CVAT comes back with the same pixels, names with signs of XML included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from segtune.data.formats import open_dataset
from segtune.data.formats.cvat.writing import CvatDocument
from segtune.ops.segments import segments_from_semantic
from segtune.types import Segmentation, Vocabulary
from tests.data import trees

WORDS = Vocabulary.of('cat & "kitten"', "<dog>")


def test_forty_label_maps_come_back(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    document = CvatDocument(tmp_path / "annotations.xml", WORDS)
    maps = {}
    for number in range(40):
        soft = ndimage.gaussian_filter(random.normal(size=(20, 30)), random.uniform(0, 3))
        labels = np.digitize(soft, np.quantile(soft, [0.3, 0.7])).astype(np.int32) - 1
        name = f"x{number:02d}"
        maps[name] = labels
        trees.save_image(tmp_path / "images" / f"{name}.jpg", size=(20, 30))
        result = Segmentation((20, 30), WORDS, labels, segments_from_semantic(labels, WORDS))
        document.add(f"{name}.jpg", result)
    document.close()
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == WORDS.names
    for index in range(40):
        assert (dataset[index].semantic == maps[dataset[index].id]).all()


def test_an_abort_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("before")
    document = CvatDocument(tmp_path / "a.xml", WORDS)
    document.add("a.jpg", Segmentation((6, 8), WORDS))
    document.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["a.xml"]
    assert (tmp_path / "a.xml").read_text() == "before"
