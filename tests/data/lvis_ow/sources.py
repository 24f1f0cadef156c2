"""Small files of LVIS and COCO in which every rule of LVIS-OW has a case."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtune.data.lvis_ow.classes import COCO_NAMES, NAMES, RARE
from tests.data import trees

PERSON, AEROSOL, AXE, BANNER = 793, 1, 30, 50
"""A class that COCO shares, one that is seen, one that is unseen, and one that is known to LVIS."""


@dataclass
class Files:
    """The three files, as plain data and on disk."""

    folder: Path
    lvis_train: dict[str, Any]
    lvis_val: dict[str, Any]
    coco: dict[str, Any]

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        names = ("lvis_v1_train.json", "lvis_v1_val.json", "instances_train2017.json")
        first, second, third = (self.folder / name for name in names)
        return first, second, third

    def save(self) -> tuple[Path, Path, Path]:
        """Writes the files and returns their paths."""
        contents = (self.lvis_train, self.lvis_val, self.coco)
        for path, content in zip(self.paths, contents, strict=True):
            trees.save_json(path, content)
        return self.paths


def image(image_id: int, split: str, **lists: list[int]) -> dict[str, Any]:
    url = f"http://images.cocodataset.org/{split}2017/{image_id:012}.jpg"
    return {"id": image_id, "coco_url": url, "height": 6, "width": 8, "date_captured": "x"} | lists


def thing(number: int, image_id: int, category_id: int, **more: Any) -> dict[str, Any]:
    x = number % 5
    entry = {"id": number, "image_id": image_id, "category_id": category_id, "area": 4.0}
    square = [x, 1.5, x + 2, 1.5, x + 2, 3.5, x, 3.5]
    return entry | {"segmentation": [square], "bbox": [x, 1.5, 2, 2]} | more


def lvis(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    categories = [
        {"id": i, "name": name, "frequency": "r" if i in RARE else "f", "synset": f"s{i}"}
        for i, name in NAMES.items()
    ]
    return {
        "info": {"version": "v1"},
        "annotations": annotations,
        "categories": categories,
        "images": images,
    }


def files(folder: Path) -> Files:
    """Images 1-3 of training stay, 4 and 5 have an axe and move, 10 and 11 are validation."""
    train_images = [
        image(1, "train", neg_category_ids=[AXE], not_exhaustive_category_ids=[AEROSOL]),
        *(image(i, "train", neg_category_ids=[], not_exhaustive_category_ids=[]) for i in (2, 3)),
        *(image(i, "train", neg_category_ids=[], not_exhaustive_category_ids=[]) for i in (4, 5)),
    ]
    train = [
        thing(1, 1, PERSON),
        thing(2, 1, AEROSOL),
        thing(3, 1, BANNER),
        thing(4, 2, AEROSOL),
        thing(5, 4, AXE),
        thing(6, 4, PERSON),
        thing(9, 5, AXE),
    ]
    val_images = [
        image(i, "val", neg_category_ids=[AXE], not_exhaustive_category_ids=[]) for i in (10, 11)
    ]
    val = [thing(1, 10, PERSON), thing(2, 11, AEROSOL)]
    coco = [
        thing(7, 1, 1, iscrowd=0),
        thing(900100000001, 3, 1, iscrowd=1, segmentation={"size": [6, 8], "counts": [8, 8, 32]}),
        thing(11, 1, 58, iscrowd=0),  # a hot dog, which is no class of LVIS
        thing(12, 4, 1, iscrowd=0),  # on an image that moves
        thing(13, 77, 1, iscrowd=0),  # on an image that LVIS does not have
        thing(14, 3, 5, iscrowd=0),
    ]
    return Files(
        folder,
        lvis(train_images, train),
        lvis(val_images, val),
        {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 3, 4, 77)],
            "annotations": coco,
            "categories": [{"id": i, "name": name} for i, name in COCO_NAMES.items()],
        },
    )


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def lvis_val(folder: Path) -> Path:
    """Writes the validation file of LVIS with its images, and returns it."""
    _, val, _ = files(folder).save()
    for image_id in (10, 11):
        trees.save_image(folder / "val2017" / f"{image_id:012}.jpg")
    return val


def coco_val(folder: Path) -> Path:
    """Writes one image of COCO with its objects, and returns the file."""
    content = files(folder).coco
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
    trees.save_image(folder / "val2017" / "1.jpg")
    return trees.save_json(folder / "annotations" / "instances_val2017.json", content)
