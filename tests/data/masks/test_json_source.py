"""Masks of many images in one JSON file: by path, name or id, and never those of another image."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from segtune.data.masks.source import MaskSource
from segtune.errors import DataError

SIZE = (6, 8)


def _rle(pixels: int) -> dict:
    return {"size": list(SIZE), "counts": [0, pixels, 48 - pixels]}


def _source(tmp_path, content, **options) -> MaskSource:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    return MaskSource(path, **options)


def _counts(source: MaskSource, image: str, **options) -> list[int]:
    return source.of(image, SIZE, **options).sum((1, 2)).tolist()


def _coco(*names: str, ids=None, **image) -> dict:
    ids = ids or range(1, len(names) + 1)
    images = [
        {"id": number, "file_name": name, **image} for number, name in zip(ids, names, strict=True)
    ]
    annotations = [
        {"id": 10 + i, "image_id": number, "segmentation": _rle(i + 1)}
        for i, number in enumerate(ids)
    ]
    return {"images": images, "annotations": annotations}


def test_images_of_one_name_in_two_folders(tmp_path):
    source = _source(tmp_path, _coco("cam1/0001.jpg", "cam2/0001.jpg"))
    assert _counts(source, "cam1/0001.jpg", only_image=False) == [1]
    assert _counts(source, "cam2/0001.jpg", only_image=False) == [2]
    by_name = _source(tmp_path, {"x/a.jpg": [_rle(5)], "y/a.jpg": [_rle(9)]})
    assert _counts(by_name, "y/a.jpg") == [9]
    with pytest.raises(DataError, match=r"2 entries that may be a.jpg: x/a.jpg, y/a.jpg"):
        _counts(by_name, "a.jpg")


def test_ids_as_text_numbers_and_floats_are_the_same(tmp_path):
    content = _coco("a.jpg", "b.jpg", ids=[1, "2"])
    content["annotations"][0]["image_id"] = "1"
    content["annotations"][1]["image_id"] = 2.0
    source = _source(tmp_path, content)
    assert _counts(source, "a.jpg") == [1]
    assert _counts(source, "b.jpg") == [2]


def test_ids_of_no_image_and_of_two_are_refused(tmp_path):
    content = _coco("a.jpg", "b.jpg")
    content["annotations"][1]["image_id"] = 7
    with pytest.raises(DataError, match="mask 1 has the image id 7, which is not in its list"):
        _counts(_source(tmp_path, content), "a.jpg")
    content = _coco("a.jpg", "b.jpg", ids=[1, "1"])
    with pytest.raises(DataError, match="two images with the id 1"):
        _counts(_source(tmp_path, content), "a.jpg")


def test_a_result_list_goes_by_the_number_in_the_name(tmp_path):
    entries = [{"image_id": number, "segmentation": _rle(number)} for number in (7, 12, 7)]
    source = _source(tmp_path, entries)
    assert _counts(source, "val/000000000007.jpg", only_image=False) == [7, 7]
    assert _counts(source, "val/12.png", only_image=False) == [12]
    with pytest.raises(DataError, match="has no masks for 13"):
        _counts(source, "13.jpg", only_image=False)


def test_images_named_by_url(tmp_path):
    content = _coco("x", "y")
    for image, folder in zip(content["images"], ("train2017", "val2017"), strict=True):
        del image["file_name"]
        image["coco_url"] = f"http://images.cocodataset.org/{folder}/01.jpg"
    source = _source(tmp_path, content)
    assert _counts(source, "val2017/01.jpg") == [2]
    assert _counts(source, "train2017/01.jpg") == [1]


def test_resized_and_turned_photographs(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    content = _coco("a.png", height=6, width=8)
    content["annotations"][0]["segmentation"] = [[6.0, 0.0, 8.0, 0.0, 8.0, 2.0, 6.0, 2.0]]
    found = _source(tmp_path, content).of(tmp_path / "a.png", (16, 12))
    assert found.sum() == 16
    assert found[0, 12:, 8:].all()


BAD = [
    {"segmentation": [[1, 2, 3]]},
    {"segmentation": {"size": [6, 8], "counts": ["a"]}},
    {"segmentation": {"size": [6, 8], "counts": [-1, 49]}},
    {"segmentation": {"size": [6, 8]}},
    {"segmentation": [1, 2, 3, 4, 5, 6]},
    {"segmentation": []},
    {"bbox": [1, 2, 3, 4]},
    {"segmentation": "x"},
]


@pytest.mark.parametrize("entry", BAD)
def test_damaged_masks_are_one_line_or_left_out(tmp_path, entry, caplog):
    entries = [_rle(3), entry, _rle(5)]
    with pytest.raises(DataError, match=r"masks.json: mask 1\b") as caught:
        _counts(_source(tmp_path, entries), "a.jpg")
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING):
        assert _counts(_source(tmp_path, entries, skip_bad=True), "a.jpg") == [3, 5]
    assert len(caplog.records) == 1
    assert "left out: " in caplog.text
    assert "mask 1" in caplog.text
