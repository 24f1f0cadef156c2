"""Trees of labelme2voc and of CVAT, and PASCAL VOC itself in colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees
from tests.data.formats.labelme.test_project import SAMPLES

CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"
COLORS = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
OBJECTS = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)], np.uint8)


def labels() -> tuple[np.ndarray, np.ndarray]:
    """Returns classes, 255 unlabelled, and objects: two cats and a dog."""
    classes, objects = np.zeros(trees.SIZE, np.int32), np.zeros(trees.SIZE, np.int32)
    for number, (columns, value) in enumerate(((0, 1), (2, 1), (4, 2)), start=1):
        classes[1:3, columns : columns + 2] = value
        objects[1:3, columns : columns + 2] = number
    return classes, objects


def labelme2voc(root: Path, *, classes: str, kind: str) -> Path:
    values, objects = labels()
    values[5] = 255
    trees.save_image(root / "JPEGImages" / "a.jpg")
    for folder, numbers in ((classes, values), (classes.replace("Class", "Object"), objects)):
        file = root / folder / f"a.{kind}"
        if kind == "png":
            trees.save_map(file, numbers, palette=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.where(numbers == 255, -1, numbers).astype(np.int32))
    (root / "class_names.txt").write_text("_background_\ncat\ndog")
    return root


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        ("SegmentationClass", "png"),
        ("SegmentationClassPNG", "png"),
        ("SegmentationClass", "npy"),
        ("SegmentationClassNpy", "npy"),
    ],
)
def test_labelme2voc(tmp_path: Path, classes: str, kind: str) -> None:
    dataset = open_dataset(labelme2voc(tmp_path, classes=classes, kind=kind))
    assert dataset.vocabulary.names == ("background", "cat", "dog")
    values, objects = labels()
    values[5] = IGNORE
    sample = dataset[0]
    assert (sample.semantic == values).all()
    assert [item.class_id for item in sample.instances] == [1, 1, 2]
    assert all((i.mask == (objects == n)).all() for n, i in enumerate(sample.instances, start=1))


def cvat(root: Path, *, lists: tuple[str, ...] = ("default",)) -> Path:
    values, objects = labels()
    trees.save_image(root / "JPEGImages" / "a.jpg")
    trees.save_colors(root / "SegmentationClass" / "a.png", COLORS[values])
    trees.save_colors(root / "SegmentationObject" / "a.png", OBJECTS[objects])
    (root / "labelmap.txt").write_text(CVAT)
    for name in lists:
        file = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a\n")
    return root


def test_the_segmentation_mask_export_of_cvat(tmp_path: Path) -> None:
    dataset = open_dataset(cvat(tmp_path))
    assert (dataset.split, dataset.vocabulary.names) == ("all", ("background", "cat", "dog"))
    values, _ = labels()
    assert (dataset[0].semantic == values).all()
    assert [item.class_id for item in dataset[0].instances] == [1, 1, 2]


def test_lists_are_splits(tmp_path: Path) -> None:
    cvat(tmp_path, lists=("train", "val"))
    assert dataset_splits(tmp_path) == ("train", "val")
    assert len(open_dataset(tmp_path, split="val")) == 1


def test_pascal_voc_in_colours(tmp_path: Path) -> None:
    raw = trees.voc(tmp_path, augmented=False)
    from segtune.data.formats.voc import voc_color

    colors = np.array([voc_color(i) for i in range(21)] + [(224, 224, 192)], np.uint8)
    coloured = colors[np.where(raw == 255, 21, raw)]
    trees.save_colors(tmp_path / "SegmentationClass" / "2007_000039.png", coloured)
    sample = open_dataset(tmp_path, split="val")[0]
    assert (sample.semantic == np.where((raw == 0) | (raw == 255), IGNORE, raw - 1)).all()
    with_rest = open_dataset(f"{tmp_path}?background=class", split="val")[0]
    assert (with_rest.semantic == np.where(raw == 255, IGNORE, raw)).all()


def test_bad_trees(tmp_path: Path) -> None:
    cvat(tmp_path / "cvat")
    (tmp_path / "cvat" / "JPEGImages" / "a.jpg").unlink()
    (tmp_path / "cvat" / "JPEGImages").rmdir()
    with pytest.raises(DataError, match=r"label maps without photographs; .* 'Save images'"):
        open_dataset(tmp_path / "cvat")
    root = labelme2voc(tmp_path / "voc", classes="SegmentationClass", kind="npy")
    (root / "SegmentationClass" / "a.npy").write_bytes(b"not numpy")
    with pytest.raises(DataError, match=r"a\.npy is not a whole \.npy file"):
        open_dataset(root)[0]
    np.save(root / "SegmentationClass" / "a.npy", np.zeros((6, 8), np.float32))
    with pytest.raises(DataError, match="is float32 of"):
        open_dataset(root)[0]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the real annotation projects")
@pytest.mark.parametrize("kind", ["instances", "semantic"])
def test_real_conversions_open(kind: str) -> None:
    dataset = open_dataset(SAMPLES / f"labelme_to_voc_{kind}")
    for index in range(len(dataset)):
        folder = SAMPLES / f"labelme_to_voc_{kind}" / "SegmentationClassNpy"
        expected = np.load(folder / f"{dataset.sample_id(index)}.npy")
        assert (dataset[index].semantic == expected).all()
