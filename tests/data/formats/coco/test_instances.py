import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segtune.data.checks.left_out import left_out_of, sentences
from segtune.data.formats import open_dataset
from segtune.data.formats.coco import instances as coco_instances
from segtune.data.formats.coco.files import image_ids
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
        (change("annotations", 0, image_id=9), "annotation 1 is of image 9, which is not in its"),
        (
            change("annotations", 1, segmentation={"size": [8, 6], "counts": [48]}),
            "annotation 2 is a mask of 6x8 on an image of 8x6",
        ),
        (
            change("annotations", 1, segmentation={"size": [6, 8], "counts": [3, 4]}),
            "annotation 2 has run lengths that do not fill the image",
        ),
        (lambda content: content.pop("categories"), "has no 'categories'"),
        (lambda content: content["images"][0].pop("id"), "entry 0 of 'images' has no 'id'"),
        (
            lambda content: content["images"][0].pop("file_name"),
            "image 139 .* no 'file_name'",
        ),
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


SQUARE = [[1, 1, 5, 1, 5, 4, 1, 4]]
NAN = float("nan")

BAD_ANNOTATIONS = [
    ({"segmentation": [1, 1, 5, 1, 5, 4]}, r"annotation 1: segmentation\[0\] is a whole number"),
    ({"segmentation": [[1, 1, 5, 1, 5]]}, "annotation 1 has a polygon of 2 points"),
    ({"segmentation": [[1, 1, 5, 1, 5, 4, 1]]}, "annotation 1 has a polygon of 7 numbers"),
    ({"segmentation": [[1, 1, 5, 1]]}, "annotation 1 has a polygon of 2 points; three or more"),
    ({"segmentation": [[NAN] * 6]}, "annotation 1 has a polygon with NaN"),
    ({"segmentation": [[1, 1, 2e8, 3e8, 5, 4]]}, "annotation 1 has a polygon that reaches to pix"),
    ({"segmentation": [["1", 1, 5, 1, 5, 4]]}, r"segmentation\[0\]\[0\] is text; expected a num"),
    ({"segmentation": "x"}, "segmentation is text; expected an object in {} or a list"),
    ({"segmentation": {"size": [6, 8]}}, "annotation 1: segmentation has no 'counts'"),
    ({"segmentation": {"counts": "x"}}, "annotation 1: segmentation has no 'size'"),
    ({"segmentation": {"size": [6, 8], "counts": [0, "9", 39]}}, r"counts\[1\] is text"),
    ({"segmentation": {"size": [6, 8], "counts": [-1, 49]}}, "annotation 1 has negative run len"),
    ({"segmentation": {"size": [6, 8], "counts": [3, 4]}}, "run lengths that do not fill the im"),
    ({"id": 2}, "annotation 2 has the id of another annotation; renumber"),
    ({"category_id": 7}, "annotation 1 has the category 7, which is not in its list"),
    ({"image_id": "q"}, "annotation 1 is of image q, which is not in its image list"),
    ({"image_id": None}, "annotation 1: image_id is null; expected a whole number"),
]


@pytest.mark.parametrize(("values", "message"), BAD_ANNOTATIONS)
def test_damaged_annotations_are_one_line_or_left_out(
    tmp_path: Path, values: dict, message: str
) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0].update(values)
    trees.save_json(file, content)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    dataset = open_dataset(f"{file}?skip_bad=1")
    assert sum(len(dataset[i].instances) for i in range(3)) == 2
    assert [each.why for each in left_out_of(dataset)] == ["damaged"]


def test_damage_that_only_the_image_shows(tmp_path: Path, caplog: Any) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = [[100, 1, 200, 1, 200, 4]]
    content["annotations"][2]["segmentation"]["counts"] = "cut"
    trees.save_json(file, content)
    dataset = open_dataset(file)
    with pytest.raises(DataError, match=r"instances_val2017.json: annotation 1 has a polygon that"):
        dataset[0]
    with pytest.raises(DataError, match="annotation 3 has"):
        dataset[1]
    lenient = open_dataset(f"{file}?skip_bad=1")
    assert [len(lenient[i].instances) for i in range(3)] == [1, 0, 0]
    assert "left out: " in caplog.text


@pytest.mark.parametrize("kind", ["images", "categories"])
def test_ids_that_clash(tmp_path: Path, kind: str) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    content[kind][1]["id"] = str(content[kind][0]["id"])
    trees.save_json(file, content)
    with pytest.raises(DataError, match=f"has two {kind} with the id"):
        open_dataset(file)


def test_ids_as_text_numbers_and_floats(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0].update(image_id="139", category_id=1.0)
    content["categories"].append({"id": "b", "name": "bus"})
    trees.save_json(file, content)
    dataset = open_dataset(file)
    assert dataset.vocabulary.names == ("person", "car", "toothbrush", "bus")
    assert [i.class_id for i in dataset[0].instances] == [0, 1]


@pytest.mark.parametrize("segmentation", [[], None, [[]]])
def test_boxes_beside_masks_are_counted(tmp_path: Path, segmentation: Any) -> None:
    file = trees.coco_instances(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = segmentation
    trees.save_json(file, content)
    dataset = open_dataset(file)
    assert [len(dataset[i].instances) for i in range(3)] == [1, 1, 0]
    (line,) = sentences(left_out_of(dataset))
    assert line.startswith("1 left out, a bounding box without a mask (--boxes of")
    for annotation in content["annotations"]:
        annotation.pop("segmentation")
    trees.save_json(file, content)
    with pytest.raises(DataError, match=r"3 bounding boxes and no masks; make masks .* --boxes"):
        open_dataset(file)


def test_missing_images_are_named(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path)
    (tmp_path / "val2017" / "000000000139.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images of .* are missing, the first is .*139.jpg"):
        open_dataset(file)
    dataset = open_dataset(f"{file}?skip_bad=1")
    assert len(dataset) == 2
    assert left_out_of(dataset)[0].name == "000000000139.jpg"


def test_polygons_of_turned_and_resized_photographs(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    big = np.zeros((12, 16, 3), np.uint8)
    Image.fromarray(big).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(big).save(tmp_path / "large.jpg")
    Image.fromarray(big[:, :9]).save(tmp_path / "cut.jpg")
    images = [
        {"id": i, "file_name": f"{name}.jpg", "width": 8, "height": 6}
        for i, name in enumerate(("turned", "large", "cut"))
    ]
    images[0] |= {"width": 16, "height": 12}
    corner = [[6, 0, 8, 0, 8, 2, 6, 2]]
    shapes = [[[12, 0, 16, 0, 16, 4, 12, 4]], corner, corner]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": shape}
        for i, shape in enumerate(shapes)
    ]
    content = {"images": images, "annotations": annotations, "categories": trees.COCO_CATEGORIES}
    dataset = open_dataset(trees.save_json(tmp_path / "a.json", content))
    assert dataset[0].instances[0].mask.shape == (16, 12)
    assert dataset[0].instances[0].box_px == (8, 12, 12, 16)
    assert dataset[1].instances[0].box_px == (12, 0, 16, 4)
    with pytest.raises(DataError, match=r"\(cut.jpg\): the labels were made on 8x6, but .* 9x12"):
        dataset[2]


def _roboflow(tmp_path: Path, categories: list[dict], used: int) -> Path:
    trees.save_image(tmp_path / "a.jpg")
    annotation = {"id": 1, "image_id": 0, "category_id": used, "segmentation": SQUARE}
    images = [{"id": 0, "file_name": "a.jpg"}]
    content = {"images": images, "annotations": [annotation], "categories": categories}
    return trees.save_json(tmp_path / "_annotations.coco.json", content)


@pytest.mark.parametrize(
    ("root", "used", "names"),
    [
        ({"id": 0, "name": "objects", "supercategory": "none"}, 1, ("car", "bus")),
        ({"id": 0, "name": "objects", "supercategory": "none"}, 0, ("objects", "car", "bus")),
        ({"id": 0, "name": "objects"}, 1, ("car", "bus")),
        ({"id": 0, "name": "things", "supercategory": "none"}, 1, ("things", "car", "bus")),
        ({"id": 3, "name": "objects", "supercategory": "none"}, 1, ("car", "bus", "objects")),
    ],
)
def test_a_category_above_all_others_is_no_class(
    tmp_path: Path, root: dict, used: int, names: tuple
) -> None:
    below = [{"id": i, "name": n, "supercategory": "objects"} for i, n in ((1, "car"), (2, "bus"))]
    dataset = open_dataset(_roboflow(tmp_path, [root, *below], used))
    assert dataset.vocabulary.names == names
    assert dataset[0].instances[0].class_id == names.index({0: "objects", 1: "car"}[used])


def test_categories_of_one_name_are_named(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "car"}, {"id": 5, "name": "Car "}]
    with pytest.raises(DataError, match=r"two categories called 'car', with the ids 1 and 5"):
        open_dataset(_roboflow(tmp_path, categories, 1))


@pytest.mark.parametrize(
    ("color", "expected"),
    [("#ff0080", (255, 0, 128)), (None, None), ([1, 2, 3], (1, 2, 3)), ("red", None), (7, None)],
)
def test_colours_of_categories(tmp_path: Path, color: Any, expected: Any) -> None:
    dataset = open_dataset(_roboflow(tmp_path, [{"id": 1, "name": "car", "color": color}], 1))
    assert dataset.vocabulary.concepts[0].color == expected


def test_numbers_are_names(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": 7}, {"id": 2, "name": "8"}]
    assert open_dataset(_roboflow(tmp_path, categories, 1)).vocabulary.names == ("7", "8")


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
