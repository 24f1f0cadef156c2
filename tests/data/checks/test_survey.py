"""What is said of a data set before work starts: counted by hand."""

from pathlib import Path

import numpy as np

from segtune.data.checks.left_out import LeftOut
from segtune.data.checks.survey import Survey, survey
from segtune.data.formats import open_dataset
from segtune.data.samples import Subset
from segtune.types import Vocabulary
from tests.data import trees


def test_pixels_per_class_of_maps(tmp_path: Path) -> None:
    trees.index_png(tmp_path, names=("a", "b"), classes=3)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\ntree\n")
    trees.save_image(tmp_path / "images" / "alone.jpg")
    dataset = open_dataset(tmp_path)
    seen = survey(dataset)
    maps = np.stack([dataset[i].semantic for i in range(2)])
    assert seen.pixels.tolist() == [int((maps == i).sum()) for i in range(4)]
    assert seen.num_unlabelled == 2
    assert seen.without_pixel == ("tree",)
    assert (seen.num_images, seen.num_read) == (2, 2)
    assert [each.name for each in seen.left_out] == ["alone.jpg"]
    assert survey(Subset(dataset, [0])).left_out == seen.left_out


def test_objects_without_a_map(tmp_path: Path) -> None:
    trees.coco_instances(tmp_path)
    seen = survey(open_dataset(tmp_path))
    assert seen.objects.tolist() == [1, 1, 1]
    assert seen.pixels.tolist() == [12, 12, 2]
    assert seen.num_unlabelled == (48 - 24) + (48 - 2)


def test_large_data_is_looked_at_in_part(tmp_path: Path) -> None:
    names = tuple(f"{i:02d}" for i in range(20))
    trees.index_png(tmp_path, names=names)
    seen = survey(open_dataset(tmp_path), most=5)
    assert (seen.num_images, seen.num_read) == (20, 5)
    assert seen.pixels.sum() + seen.num_unlabelled == 5 * 48


def seen(pixels, *, num_images=2, num_read=2, unlabelled=0, objects=None, left_out=()):
    names = [f"c{i}" for i in range(len(pixels))]
    return Survey(
        "d",
        "train",
        Vocabulary.of(*names),
        num_images,
        num_read,
        np.array(pixels),
        np.array(objects or [0] * len(pixels)),
        unlabelled,
        left_out,
    )


def test_lines():
    said = seen([60, 0, 20], unlabelled=20, left_out=(LeftOut("a.jpg", "no label map"),)).lines()
    assert said == [
        "d, train: 2 images",
        "1 left out, no label map: a.jpg",
        "% of pixels: c0 60.0, c2 20.0, unlabelled 20.0",
        "without a pixel: c1",
    ]


def test_lines_of_many_classes_and_images():
    said = seen([1] * 20 + [0] * 12, num_images=500, num_read=100, objects=[3] * 32).lines()
    assert said[0] == "d, train: 500 images, 96 objects in 100 of the images"
    assert said[1].startswith("% of pixels in 100 of the images: c0 5.0, c1 5.0")
    assert said[1].endswith("12 more")
    assert said[2].endswith("c20, c21, c22, c23, c24, c25, c26, c27 and 4 more")
