"""Readers of projects of annotation tools and of trees of data sets, damaged file by file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from segtune.data.formats import open_dataset
from tests.data import trees
from tests.data.lvis_ow import sources as lvis_ow
from tests.fuzz.reader import Reader
from tests.fuzz.strategies import damaged_bytes, damaged_json, damaged_text


def tool_readers(root: Path) -> dict[str, Reader]:
    """Returns the readers by name; whole projects are made below `root`."""
    made: dict[str, Reader] = {}
    for name, build, kind in PROJECTS:
        folder = root / name.replace(" ", "-")
        file = build(folder)
        content = file.read_bytes()
        contents = {
            "json": lambda c=content: damaged_json(json.loads(c)) | damaged_bytes(c),
            "text": lambda c=content: damaged_text(c.decode()),
            "bytes": lambda c=content: damaged_bytes(c),
        }[kind]()
        made[name] = Reader(file, contents, _opened(folder))
    return made


def _opened(folder: Path) -> Callable[[Path], object]:
    """Returns what reads all of a folder, whatever it looks like now."""

    def read(_: Path) -> None:
        dataset = open_dataset(folder)
        for index in range(len(dataset)):
            dataset[index]

    return read


def _in(build: Callable[[Path], object], name: str) -> Callable[[Path], Path]:
    """Returns what builds a tree and names one of its files."""

    def made(root: Path) -> Path:
        build(root)
        return next(iter(sorted(root.glob(name))))

    return made


def _labelled(root: Path) -> Path:
    """LabelMe with every kind of shape."""
    file = trees.labelme(root)
    content = json.loads(file.read_text())
    for kind, points in (
        ("rectangle", [[1, 1], [4, 3]]),
        ("circle", [[3, 3], [4, 3]]),
        ("line", [[0, 0], [5, 5]]),
        ("linestrip", [[0, 0], [5, 5], [5, 0]]),
        ("point", [[2, 2]]),
    ):
        content["shapes"].append({"label": kind, "points": points, "shape_type": kind})
    return trees.save_json(file, content)


def _lvis(root: Path) -> Path:
    lvis_ow.lvis_val(root)
    return root / "lvis_v1_val.json"


PROJECTS: tuple[tuple[str, Callable[[Path], Path], str], ...] = (
    ("labelme", _labelled, "json"),
    ("cvat", trees.cvat, "text"),
    ("cvat masks", _in(trees.cvat_masks, "labelmap.txt"), "text"),
    ("label studio", trees.labelstudio, "json"),
    ("yolo lines", trees.yolo, "text"),
    ("yolo data", _in(trees.yolo, "data.yaml"), "text"),
    ("supervisely", trees.supervisely, "json"),
    ("supervisely classes", _in(trees.supervisely, "meta.json"), "json"),
    ("sa1b", trees.sa1b, "json"),
    ("roboflow", trees.roboflow, "json"),
    ("uvo", trees.uvo, "json"),
    ("lvis", _lvis, "json"),
    ("colour table", _in(trees.color_png, "class_dict.csv"), "text"),
    ("colour map", _in(trees.color_png, "train_labels/*.png"), "bytes"),
    ("class names", _in(trees.voc_project, "class_names.txt"), "text"),
    ("list of images", _in(trees.voc, "ImageSets/Segmentation/*.txt"), "text"),
    ("vistas", _in(trees.mapillary, "config.json"), "json"),
    ("ade20k objects", _in(trees.ade20k_2016, "**/*_atr.txt"), "text"),
    ("ade20k map", _in(trees.ade20k_full, "**/*_seg.png"), "bytes"),
    ("kitti map", _in(trees.kitti, "training/semantic/*.png"), "bytes"),
)
"""Name, what builds the whole and returns the file to damage, and what kind of file that is."""
