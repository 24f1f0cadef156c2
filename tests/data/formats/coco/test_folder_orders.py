"""COCO JSON in the folders in which tools and people keep it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import dataset_splits, open_dataset
from segtune.data.formats.coco.instances import write_annotations
from segtune.types import Segment, Segmentation, Vocabulary
from tests.data import trees

SAMPLES = Path(os.environ.get("SEGTUNE_SAMPLES", "../shared/data/annotation_samples"))
ORDERS = {
    "annotations/instances_train2017.json": ("train2017/{n}", "{n}"),
    "annotations/instances_val2017.json": ("images/val2017/{n}", "{n}"),
    "train/_annotations.coco.json": ("train/{n}", "{n}"),
    "annotations.json": ("JPEGImages/{n}", "JPEGImages/{n}"),
    "result.json": ("images/{n}", "images\\{n}"),
    "labels.json": ("data/{n}", "{n}"),
    "annotations/train.json": ("train/{n}", "{n}"),
    "annotations/val.json": ("images/val/{n}", "{n}"),
    "train.json": ("images/{n}", "{n}"),
    "train/annotations.json": ("train/images/{n}", "{n}"),
    "annotations/instances_default.json": ("images/default/{n}", "{n}"),
    "annotations/coco.json": ("images/{n}", "{n}"),
}


def save(root: Path, file: str, image: str, name: str) -> None:
    trees.save_image(root / image.format(n="a.jpg"))
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0}
    annotation["segmentation"] = [[1, 1, 5, 1, 5, 4, 1, 4]]
    content = {
        "images": [{"id": 7, "file_name": name.format(n="a.jpg"), "height": 6, "width": 8}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "cat"}],
    }
    trees.save_json(root / file, content)


@pytest.mark.parametrize("file", ORDERS)
def test_orders(tmp_path: Path, file: str) -> None:
    save(tmp_path, file, *ORDERS[file])
    (split,) = dataset_splits(tmp_path)
    expected = next((word for word in ("train", "val", "default") if word in file), "all")
    assert split == expected
    sample = open_dataset(tmp_path)[0]
    assert sample.pixels().shape == (6, 8, 3)
    assert int(sample.instances[0].mask.sum()) == 12


def test_both_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path, f"{split}.json", "images/{n}", "{n}")
    assert dataset_splits(tmp_path) == ("train", "val")


def test_polygons_in_place_of_rle(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[0:3, 0:3] = mask[4:6, 5:8] = mask[3, 3] = True
    mask[1, 1] = False
    from segtune.data.formats.coco.document import CocoDocument
    from segtune.data.formats.coco.instances import add_segments

    words = Vocabulary.of("cat")
    result = Segmentation((6, 8), words, None, (Segment(0, 0.5, (0, 0, 8, 6), mask),))
    with CocoDocument(tmp_path / "a.json", vocabulary=words) as document:
        add_segments(document, "a", result, as_polygons=True)
    trees.save_image(tmp_path / "a.jpg")
    (entry,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert (len(entry["segmentation"]), entry["score"]) == (3, 0.5)
    assert (open_dataset(tmp_path / "a.json")[0].instances[0].mask == mask).all()
    write_annotations(tmp_path / "b.json", [("a", result)], vocabulary=words)
    assert (open_dataset(tmp_path / "b.json")[0].instances[0].mask == mask).all()


def test_what_lvis_says_beside_the_masks(tmp_path: Path) -> None:
    save(tmp_path, "annotations/lvis_v1_val.json", "val2017/{n}", "{n}")
    file = tmp_path / "annotations" / "lvis_v1_val.json"
    content = json.loads(file.read_text())
    image = content["images"][0]
    del image["file_name"]
    image["coco_url"] = "http://images.cocodataset.org/val2017/a.jpg"
    image["neg_category_ids"], image["not_exhaustive_category_ids"] = [5, 99], [3]
    content["categories"] = [
        {"id": 3, "name": "cat", "frequency": "f", "synset": "cat.n.01"},
        {"id": 5, "name": "yak", "frequency": "r", "synset": "yak.n.01"},
    ]
    file.write_text(json.dumps(content))
    dataset = open_dataset(tmp_path, split="val")
    assert [concept.group for concept in dataset.vocabulary] == ["frequent", "rare"]
    record = dataset.records[0]
    assert (record.absent, record.not_exhaustive) == ((1,), (0,))
    assert int(dataset[0].instances[0].mask.sum()) == 12


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the real annotation projects")
def test_a_real_file_of_labelme2coco() -> None:
    from pycocotools.coco import COCO

    dataset = open_dataset(SAMPLES / "labelme_to_coco")
    known = COCO(str(SAMPLES / "labelme_to_coco" / "annotations.json"))
    for index in range(len(dataset)):
        sample = dataset[index]
        image_id = dataset.records[index].image_id
        truth = [known.annToMask(a) for a in known.loadAnns(known.getAnnIds(imgIds=[image_id]))]
        assert all((i.mask == m).all() for i, m in zip(sample.instances, truth, strict=True))
