import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segtune.data.formats import coco_instances, open_dataset
from segtune.data.formats.coco_files import image_ids
from segtune.data.samples import as_segmentation
from segtune.errors import DataError
from segtune.types import Segment, Segmentation, Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids
from tests.data import trees


def test_read_all_kinds_of_masks(tmp_path: Path) -> None:
    trees.coco_instances(tmp_path)
    dataset = coco_instances.read(tmp_path)
    assert dataset.vocabulary.names == ("person", "car", "toothbrush")
    assert (dataset.split, dataset.name) == ("val", "instances_val2017")
    person, cars = dataset[0].instances
    assert (person.class_id, person.is_crowd, person.box_px) == (0, False, (1, 1, 5, 4))
    assert (cars.class_id, cars.is_crowd, cars.box_px) == (1, True, (6, 0, 8, 6))
    (brush,) = dataset[1].instances
    assert (brush.class_id, brush.box_px) == (2, (1, 2, 2, 4))
    assert dataset[2].instances == ()
    assert dataset[0].semantic is None
    assert image_ids(dataset) == {"000000000139": 139, "000000000285": 285, "000000000632": 632}


def test_read_a_file_with_images_beside_it(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    (tmp_path / "val2017").rename(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"no 000000000139\.jpg in .*FILE\?images=FOLDER"):
        open_dataset(file)
    dataset = open_dataset(f"{file}?images={tmp_path / 'pictures'}", split="val")
    assert len(dataset) == 3
    moved = file.rename(tmp_path / "pictures" / "mine.json")
    assert open_dataset(moved).split == "mine"


def test_read_roboflow_folders(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    target = tmp_path / "valid"
    (tmp_path / "val2017").rename(target)
    file.rename(target / "_annotations.coco.json")
    assert open_dataset(tmp_path).split == "val"
    assert len(open_dataset(target)) == 3


def test_read_lvis_urls(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')}"
    trees.save_json(tmp_path / "annotations" / "lvis_v1_val.json", content)
    file.unlink()
    dataset = open_dataset(tmp_path)
    assert dataset[0].pixels().shape == (*trees.SIZE, 3)
    assert dataset.sample_id(0) == "000000000139"


def test_equal_stems_in_two_folders_become_distinct_ids(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    for image, name in zip(content["images"], ("x/a.jpg", "y/a.jpg", "y/b.jpg"), strict=True):
        trees.save_image(tmp_path / "images" / name)
        image["file_name"] = name
    trees.save_json(file, content)
    dataset = open_dataset(file)
    assert [dataset.sample_id(i) for i in range(3)] == ["x_a", "y_a", "y_b"]


def change(key: str, index: int, **values: Any) -> Callable[[dict], None]:
    """Returns a function that overwrites values of one entry of a COCO document."""

    def apply(content: dict) -> None:
        content[key][index].update(values)

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("annotations", 0, category_id=77), "annotation 1 has the category 77"),
        (change("annotations", 0, image_id=9), "image 9 has annotations but is not in its image"),
        (change("annotations", 0, segmentation=[]), "annotation 1 has no polygon of three points"),
        (change("annotations", 0, segmentation=None), "annotation 1 has no segmentation; expected"),
        (
            change("annotations", 1, segmentation={"size": [8, 6], "counts": [48]}),
            "annotation 2 is a mask of 6x8 on an image of 8x6",
        ),
        (
            change("annotations", 1, segmentation={"size": [6, 8], "counts": [3, 4]}),
            "annotation 2 has run lengths that do not fill the image",
        ),
        (lambda content: content.pop("categories"), "has no list 'categories'"),
        (lambda content: content["images"][0].pop("id"), "an entry of 'images' has no 'id'"),
        (lambda content: content["images"][0].pop("file_name"), "image 139 .* has no 'file_name'"),
        (lambda content: content["annotations"][1].pop("image_id"), "has no 'image_id'"),
        (lambda content: content["categories"].clear(), "has no categories|has the category"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Callable[[dict], None], message: str) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    damage(content)
    trees.save_json(file, content)
    with pytest.raises(DataError, match=message):
        coco_instances.read(tmp_path)[0]


def test_not_json(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DataError, match=r"not valid JSON: .* in line 1; copy the file again"):
        coco_instances.read(tmp_path)


def segments() -> Segmentation:
    """A person and, overlapping it, a toothbrush on an image of 6 x 8."""
    bar = np.ones((2, 3), bool)
    bar[0, 0] = False
    found = (Segment(0, 0.9, (1, 1, 4, 3), bar), Segment(2, 0.25, (3, 2, 6, 4), bar))
    return Segmentation(trees.SIZE, THREE, segments=found)


THREE = Vocabulary.of("person", "car", "toothbrush")


def test_write_results_in_the_official_form(tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    truth = COCO(str(trees.coco_instances(tmp_path)))
    file = coco_instances.write_results(
        tmp_path / "out" / "results.json",
        [("000000000139", segments()), ("000000000632", Segmentation(trees.SIZE, THREE))],
        category_ids=(1, 3, 90),
    )
    entries = json.loads(file.read_text())
    assert [entry["category_id"] for entry in entries] == [1, 90]
    assert [entry["image_id"] for entry in entries] == [139, 139]
    assert entries[0]["bbox"] == [1, 1, 3, 2]
    assert entries[1]["score"] == 0.25
    mask = coco_mask.decode(entries[0]["segmentation"]).astype(bool)
    assert (mask == segments().segments[0].full_mask(trees.SIZE)).all()
    assert len(truth.loadRes(str(file)).getAnnIds()) == 2


def test_write_annotations_and_read_again(tmp_path: Path) -> None:
    names = {"one": "deep/one.png", "two": "two.png"}
    for name in names.values():
        trees.save_image(tmp_path / "images" / name)
    file = coco_instances.write_annotations(
        tmp_path / "annotations" / "instances_train.json",
        [("one", segments()), ("two", Segmentation(trees.SIZE, THREE))],
        vocabulary=THREE,
        image_names=names,
    )
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == THREE.names
    assert [dataset.sample_id(i) for i in range(2)] == ["one", "two"]
    assert as_segmentation(dataset[1], THREE).segments == ()
    for read, written in zip(dataset[0].instances, segments().segments, strict=True):
        assert read.class_id == written.class_id
        assert (read.mask == written.full_mask(trees.SIZE)).all()
    assert json.loads(file.read_text())["categories"][2]["id"] == 3


def test_one_category_id_per_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 category ids were given for 3 classes"):
        coco_instances.write_results(tmp_path / "a", [("1", segments())], category_ids=(1, 2))
    assert len(category_ids("coco_80")) == len(builtin("coco_80"))
