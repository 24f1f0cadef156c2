"""Trees of VOC: maps of numbers and of colours, decoded here by Pillow alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.export.trees.voc import CvatMasksSink, VocSink
from segtune.ops.segments import crop_segment
from segtune.types import IGNORE, Concept, Segmentation, Vocabulary
from tests.export.results import IMAGE, answer

LIST = "ImageSets/Segmentation/all.txt"


def written(folder: Path, sink: VocSink, result: Segmentation, *, name: str = "a") -> None:
    sink.open(folder / LIST, result.vocabulary)
    sink.add(name, IMAGE, result)
    sink.close()


def test_maps_of_numbers(tmp_path: Path) -> None:
    written(tmp_path, VocSink(), answer(last=0))
    classes = Image.open(tmp_path / "SegmentationClass" / "a.png")
    assert classes.mode == "P"
    assert np.asarray(classes)[[0, 0, 1, 5], [0, 1, 1, 7]].tolist() == [255, 1, 0, 0]
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject" / "a.png"))
    assert objects[[0, 0, 1, 5], [0, 1, 1, 7]].tolist() == [0, 0, 1, 2]
    assert (tmp_path / "class_names.txt").read_text() == "star\ngrass\n"
    assert (tmp_path / LIST).read_text() == "a\n"


def test_maps_of_colours(tmp_path: Path) -> None:
    written(tmp_path, CvatMasksSink(), answer(last=0))
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert lines[0] == "# label:color_rgb:parts:actions"
    colors = {
        n: [int(c) for c in rgb.split(",")] for n, rgb, *_ in (x.split(":") for x in lines[1:])
    }
    classes = np.asarray(Image.open(tmp_path / "SegmentationClass" / "a.png"))
    assert classes[0, 0].tolist() == [0, 0, 0]
    assert classes[1, 1].tolist() == colors["star"]
    assert classes[0, 1].tolist() == colors["grass"]
    objects = np.asarray(Image.open(tmp_path / "SegmentationObject" / "a.png"))
    numbers = [[128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert [objects[y, x].tolist() for y, x in ((1, 1), (5, 7), (0, 1))] == numbers
    assert objects[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("sink", [VocSink, CvatMasksSink])
def test_more_objects_than_a_byte_holds(tmp_path: Path, sink: type[VocSink]) -> None:
    words = Vocabulary.of("dot")
    size = (40, 40)
    dots = []
    for i in range(20):
        for j in range(20):
            mask = np.zeros(size, bool)
            mask[2 * i, 2 * j] = True
            dots.append(crop_segment(mask, 0, 1.0))
    written(tmp_path, sink(), Segmentation(size, words, None, tuple(dots)))
    (tmp_path / "JPEGImages").mkdir()
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "JPEGImages" / "a.png")
    assert len(open_dataset(tmp_path)[0].instances) == 400


def test_names_with_blanks_dots_and_colons(tmp_path: Path) -> None:
    words = Vocabulary((Concept("road: old"), Concept("1, 2, 3")))
    labels = np.array([[0, 1], [IGNORE, 1]], np.int32)
    read_back = np.array([[1, 2], [0, 2]])
    written(tmp_path, CvatMasksSink(), Segmentation((2, 2), words, labels), name="my v1.2 photo")
    (tmp_path / "ImageSets/Segmentation/all.txt").rename(
        tmp_path / "ImageSets/Segmentation/train.txt"
    )
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "JPEGImages" / "my v1.2 photo.png")
    dataset = open_dataset(tmp_path, split="train")
    assert dataset.vocabulary.names == ("background", *words.names)
    np.testing.assert_array_equal(dataset[0].semantic, read_back)


def test_a_class_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegtuneError, match="has a line break"):
        VocSink().open(tmp_path / LIST, Vocabulary.of("a\nb"))
