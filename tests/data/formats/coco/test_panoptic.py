import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.checks.left_out import left_out_of
from segtune.data.formats import open_dataset
from segtune.data.formats.coco import panoptic as coco_panoptic
from segtune.data.samples import as_segmentation
from segtune.errors import DataError
from segtune.types import IGNORE, Concept, Segment, Segmentation, Vocabulary
from tests.data import trees

STREET = Vocabulary((Concept("car", color=(0, 0, 142)), Concept("road", kind="stuff")))


def test_read(tmp_path: Path) -> None:
    _, segment_ids = trees.coco_panoptic(tmp_path)
    dataset = coco_panoptic.read(tmp_path)
    concepts = dataset.vocabulary.concepts
    assert [(c.name, c.kind) for c in concepts] == [
        ("person", "thing"),
        ("car", "thing"),
        ("grass-merged", "stuff"),
    ]
    assert concepts[0].color == (220, 20, 60)
    sample = dataset[0]
    assert [(i.class_id, i.is_crowd) for i in sample.instances] == [
        (0, False),
        (1, True),
        (2, False),
    ]
    assert (sample.instances[1].mask == (segment_ids == 70000)).all()
    expected = np.full(trees.SIZE, IGNORE)
    for class_id, segment_id in enumerate((1, 70000, 300)):
        expected[segment_ids == segment_id] = class_id
    assert (sample.semantic == expected).all()


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([], "segment 1 is in the PNG only"),
        (
            [{"id": i, "category_id": 1} for i in (1, 5, 300, 70000)],
            "segment 5 is in the JSON only",
        ),
        ([{"id": i, "category_id": 2} for i in (1, 300, 70000)], "segment 1 has the category 2"),
    ],
)
def test_json_and_png_must_agree(tmp_path: Path, segments: list[dict], message: str) -> None:
    file, _ = trees.coco_panoptic(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"][0]["segments_info"] = segments
    trees.save_json(file, content)
    with pytest.raises(DataError, match=message):
        coco_panoptic.read(tmp_path)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"segments_info": [{"id": 1, "category_id": 1}] * 2},
            "139 has two segments with the id 1",
        ),
        ({"image_id": 7}, "image 7 has annotations but is not in its image list"),
        ({"segments_info": [{"id": "1", "category_id": 1}]}, r"segments_info\[0\].id is text; exp"),
        ({"segments_info": None}, "segments_info is null; expected a list"),
        ({"file_name": None}, "file_name is null; expected text"),
    ],
)
def test_damaged_entries_are_one_line_or_left_out(
    tmp_path: Path, change: dict, message: str
) -> None:
    file, _ = trees.coco_panoptic(tmp_path)
    content = json.loads(file.read_text())
    trees.save_image(tmp_path / "val2017" / "b.jpg")
    (file.with_suffix("") / "b.png").write_bytes(next(file.with_suffix("").iterdir()).read_bytes())
    content["images"].append({"id": 8, "file_name": "b.jpg"})
    content["annotations"].append(
        {**content["annotations"][0], "image_id": 8, "file_name": "b.png"}
    )
    content["annotations"][0].update(change)
    trees.save_json(file, content)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(file)
    assert str(file) in str(caught.value)
    dataset = open_dataset(f"{file}?skip_bad=1")
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["b"]
    reasons = {each.why for each in left_out_of(dataset)}
    assert reasons == {"damaged", "no segments in the JSON"}


def test_two_entries_of_one_image(tmp_path: Path) -> None:
    file, _ = trees.coco_panoptic(tmp_path)
    content = json.loads(file.read_text())
    content["annotations"] *= 2
    trees.save_json(file, content)
    with pytest.raises(DataError, match="image 139 has two entries of annotations"):
        open_dataset(file)


@pytest.mark.parametrize("form", ["transparent void", "opaque", "palette", "one channel"])
def test_ids_do_not_depend_on_how_the_png_is_stored(tmp_path: Path, form: str) -> None:
    ids = np.zeros(trees.SIZE, np.int32)
    ids[:2], ids[3:] = 1, 7
    rgb = np.stack([ids, ids * 0, ids * 0], -1).astype(np.uint8)
    alpha = np.where(ids > 0, 255, 0 if form == "transparent void" else 255).astype(np.uint8)
    image = Image.fromarray(np.dstack([rgb, alpha]))
    if form == "palette":
        image = Image.fromarray((ids > 0).astype(np.uint8) + (ids == 7))
        image.putpalette([0, 0, 0, 1, 0, 0, 7, 0, 0])
    if form == "one channel":
        image = Image.fromarray(ids.astype(np.uint8))
    image.save(tmp_path / "a.png")
    assert (coco_panoptic.read_segment_ids(tmp_path / "a.png") == ids).all()


def test_grey_ids_count_all_channels(tmp_path: Path) -> None:
    Image.fromarray(np.full((*trees.SIZE, 3), 2, np.uint8)).save(tmp_path / "a.png")
    assert (coco_panoptic.read_segment_ids(tmp_path / "a.png") == 2 + 512 + 131072).all()


def test_jpeg_ids_are_refused(tmp_path: Path) -> None:
    trees.save_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="is a JPEG, whose compression changes ids"):
        coco_panoptic.read_segment_ids(tmp_path / "a.jpg")


def test_missing_pngs(tmp_path: Path) -> None:
    file, _ = trees.coco_panoptic(tmp_path)
    file.with_suffix("").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"the id PNGs of .* expected the folder"):
        coco_panoptic.read(tmp_path)


def test_write_and_read_again(tmp_path: Path) -> None:
    top, bottom = np.ones((2, 8), bool), np.ones((4, 8), bool)
    top[0, 0] = False
    found = (Segment(0, 0.9, (0, 0, 8, 2), top), Segment(1, 0.8, (0, 2, 8, 6), bottom))
    result = Segmentation(trees.SIZE, STREET, segments=found)
    trees.save_image(tmp_path / "images" / "one.jpg")
    coco_panoptic.write(
        tmp_path / "annotations" / "panoptic_val.json", [("one", result)], vocabulary=STREET
    )
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.concepts == STREET.concepts
    again = as_segmentation(dataset[0], STREET)
    assert [segment.class_id for segment in again.segments] == [0, 1]
    for read, written in zip(again.segments, found, strict=True):
        assert read.box_px == written.box_px
        assert (read.mask == written.mask).all()
    assert again.semantic is not None
    assert again.semantic[0, 0] == IGNORE


def test_write_keeps_the_earlier_of_overlapping_segments(tmp_path: Path) -> None:
    whole = np.ones(trees.SIZE, bool)
    found = tuple(Segment(i, 0.5, (0, 0, 8, 6), whole) for i in (1, 0))
    file = coco_panoptic.write(
        tmp_path / "a.json",
        [("7", Segmentation(trees.SIZE, STREET, segments=found))],
        vocabulary=STREET,
        category_ids=(3, 149),
    )
    (annotation,) = json.loads(file.read_text())["annotations"]
    assert annotation["image_id"] == 7
    assert annotation["segments_info"] == [
        {"id": 1, "category_id": 149, "area": 48, "bbox": [0, 0, 8, 6], "iscrowd": 0}
    ]


def test_segment_ids_beyond_one_byte(tmp_path: Path) -> None:
    ids = np.array([[0, 255, 256], [65535, 65536, 2**24 - 1]], np.int32)
    coco_panoptic.write_segment_ids(tmp_path / "a.png", ids)
    assert (coco_panoptic.read_segment_ids(tmp_path / "a.png") == ids).all()
