"""LabelMe projects: every kind of shape, classes, groups, photographs, and what is wrong."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

SAMPLES = Path(os.environ.get("SEGTUNE_SAMPLES", "../shared/data/annotation_samples"))
"""Real projects and what LabelMe's converters made of them; skipped where they are not."""
BOX = {"label": "cat", "points": [[1, 1], [1, 3], [4, 3], [4, 1]], "shape_type": "polygon"}


def save(file: Path, shapes: list[dict], **rest: object) -> Path:
    content = {"version": "5.4.1", "shapes": shapes, "imagePath": f"{file.stem}.jpg"}
    return trees.save_json(file, content | {"imageHeight": 6, "imageWidth": 8} | rest)


def project(root: Path, shapes: list[dict], **rest: object) -> Path:
    trees.save_image(root / "a.jpg")
    save(root / "a.json", shapes, **rest)
    return root


def png(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_a_polygon_has_its_border(tmp_path: Path) -> None:
    sample = open_dataset(project(tmp_path, [BOX]))[0]
    expected = np.full(trees.SIZE, IGNORE)
    expected[1:4, 1:5] = 0
    assert (sample.semantic == expected).all()
    assert (sample.instances[0].mask == (expected == 0)).all()


def test_every_kind_of_shape(tmp_path: Path) -> None:
    pixels = np.array([[1, 0], [1, 1]], bool)
    shapes = [
        {"label": "box", "points": [[4, 3], [2, 1]], "shape_type": "rectangle"},
        {"label": "ball", "points": [[5, 3], [5, 4]], "shape_type": "circle"},
        {"label": "wire", "points": [[0, 5], [7, 5]], "shape_type": "line"},
        {"label": "bits", "points": [[6, 0], [7, 1]], "shape_type": "mask", "mask": png(pixels)},
        {"label": "click", "points": [[6, 0]], "shape_type": "point"},
    ]
    dataset = open_dataset(f"{project(tmp_path, shapes)}?line_width=1")
    masks = {dataset.vocabulary.names[i.class_id]: i.mask for i in dataset[0].instances}
    assert sorted(masks) == ["ball", "bits", "box", "wire"]
    assert masks["box"][1:4, 2:5].all()
    assert masks["box"].sum() == 9
    assert masks["ball"].sum() in (5, 9)
    assert (np.argwhere(masks["wire"])[:, 0] == 5).all()
    assert (masks["bits"][:2, 6:] == pixels).all()
    assert [each.why for each in dataset.left_out] == ["a point, which is no region"]


def test_one_group_is_one_object_and_later_shapes_lie_above(tmp_path: Path) -> None:
    other = {"label": "cat", "points": [[6, 0], [7, 0], [7, 1]], "shape_type": "polygon"}
    above = {"label": "dog", "points": [[1, 1], [2, 1], [2, 2], [1, 2]]}
    shapes = [BOX | {"group_id": 1}, other | {"group_id": 1}, above]
    dataset = open_dataset(project(tmp_path, shapes))
    cat, dog = dataset[0].instances
    assert (cat.mask[1, 1], cat.mask[0, 7], dog.mask.sum()) == (True, True, 4)
    assert dataset[0].semantic[1, 1] == dataset.vocabulary.index("dog")


def test_class_lists_give_the_order_and_the_background(tmp_path: Path) -> None:
    project(
        tmp_path / "photos", [BOX, BOX | {"label": "__ignore__", "points": [[6, 5], [7, 5]] * 2}]
    )
    listed = "__ignore__\n_background_\ndog\ncat\n"
    (tmp_path / "photos.labels.txt").write_text(listed)
    dataset = open_dataset(tmp_path / "photos")
    assert dataset.vocabulary.names == ("background", "dog", "cat")
    assert np.unique(dataset[0].semantic).tolist() == [IGNORE, 0, 2]
    (tmp_path / "photos.labels.txt").unlink()
    assert open_dataset(tmp_path / "photos").vocabulary.names == ("cat",)
    asked = open_dataset(f"{tmp_path / 'photos'}?background=class")
    assert asked.vocabulary.names == ("background", "cat")
    assert asked[0].semantic[0, 0] == 0


@pytest.mark.parametrize(
    "order", ["{s}/{n}.json {s}/{n}.jpg", "labels/{s}/{n}.json images/{s}/{n}.jpg"]
)
def test_divided_projects(tmp_path: Path, order: str) -> None:
    for split, name in (("train", "a"), ("val", "b")):
        label, image = (tmp_path / part.format(s=split, n=name) for part in order.split())
        trees.save_image(image)
        save(label, [BOX])
    assert dataset_splits(tmp_path) == ("train", "val")
    assert open_dataset(tmp_path, split="val")[0].id == "b"
    assert open_dataset(tmp_path, split="val")[0].pixels().shape == (6, 8, 3)


def test_labels_apart_from_photographs(tmp_path: Path) -> None:
    trees.save_image(tmp_path / "images" / "a.jpg")
    save(tmp_path / "labels" / "a.json", [BOX], imagePath="..\\images\\a.jpg")
    assert open_dataset(tmp_path)[0].image == tmp_path / "labels" / ".." / "images" / "a.jpg"


def test_a_photograph_inside_of_the_json(tmp_path: Path) -> None:
    file = trees.save_image(tmp_path / "x" / "a.png")
    data = base64.b64encode(file.read_bytes()).decode()
    save(tmp_path / "a.json", [BOX], imageData=data)
    file.unlink()
    sample = open_dataset(tmp_path)[0]
    assert sample.pixels().shape == (6, 8, 3)
    assert sample.instances[0].mask.sum() == 12


def test_a_resized_photograph(tmp_path: Path) -> None:
    project(tmp_path, [BOX], imageHeight=12, imageWidth=16)
    assert open_dataset(tmp_path)[0].instances[0].mask.sum() == 6


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (BOX | {"points": [[1, 1], [2, 2]]}, r"a\.json: shape 0 \(cat\) has a polygon of 2 points"),
        (BOX | {"points": [[1, float("nan")]] * 3}, "NaN or infinity"),
        (BOX | {"points": [[1, 1e9]] * 3}, "reaches to pixel 1000000000"),
        (BOX | {"points": [[1, 2, 3]] * 3}, "no x, y pair"),
        (BOX | {"points": "here"}, "points is text; expected a list"),
        (BOX | {"shape_type": "cloud"}, "is a cloud, which is not known"),
        (BOX | {"shape_type": "mask"}, "is a mask without its pixels"),
        (BOX | {"shape_type": "mask", "mask": "bm8="}, "has a mask that is no picture"),
    ],
)
def test_bad_shapes(tmp_path: Path, shape: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(project(tmp_path, [shape]))[0]


def test_bad_projects(tmp_path: Path) -> None:
    project(tmp_path, [BOX])
    (tmp_path / "labels.txt").write_text("dog\n")
    with pytest.raises(DataError, match="the label 'cat' is not in the list of classes"):
        open_dataset(tmp_path)
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(DataError, match="line_width=thin is no width"):
        open_dataset(f"{tmp_path}?line_width=thin")
    with pytest.raises(DataError, match="use background=ignore or =class"):
        open_dataset(f"{tmp_path}?background=1")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match="its photograph does not exist beside it"):
        open_dataset(tmp_path)[0]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the real annotation projects")
@pytest.mark.parametrize("kind", ["instances", "semantic"])
def test_real_projects_have_the_pixels_of_labelmes_own_converter(kind: str) -> None:
    dataset = open_dataset(SAMPLES / f"labelme_{kind}")
    for index in range(len(dataset)):
        sample = dataset[index]
        folder = SAMPLES / f"labelme_to_voc_{kind}" / "SegmentationClassNpy"
        assert (sample.semantic != np.load(folder / f"{sample.id}.npy")).sum() <= 1


def test_json_that_is_not_labelmes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"shapes": []}))
    with pytest.raises(DataError, match="in no known layout"):
        open_dataset(tmp_path)
