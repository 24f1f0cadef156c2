"""Files of LVIS and COCO, read without their masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segtune.data.lvis_ow.sources import AnnotationFile, check_names
from segtune.errors import DataError
from tests.data.lvis_ow.sources import AEROSOL, PERSON, files


def test_entries_are_as_they_were(tmp_path: Path) -> None:
    content = files(tmp_path)
    path, _, coco = content.save()
    file = AnnotationFile.open(path)
    assert file.image_ids == (1, 2, 3, 4, 5)
    assert [json.loads(bytes(raw)) for _, raw in file.images()] == content.lvis_train["images"]
    assert [each.category_id for each in file.references()][:2] == [PERSON, AEROSOL]
    first = next(file.annotations())
    assert json.loads(bytes(first.segmentation)) == [[1, 1.5, 3, 1.5, 3, 3.5, 1, 3.5]]
    assert file.rest()["info"] == {"version": "v1"}
    assert [item.iscrowd for item in AnnotationFile.open(coco).annotations()] == [0, 1, 0, 0, 0, 0]


def test_byte_order_mark(tmp_path: Path) -> None:
    path, _, _ = files(tmp_path).save()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(AnnotationFile.open(path).image_ids) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[]", "is a list; expected an object"),
        ('{"images": []}', "has no 'annotations'"),
        ('{"images": [], "annotations": {}, "categories": []}', "annotations is an object"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        AnnotationFile.open(path)
    with pytest.raises(FileNotFoundError, match="check the path"):
        AnnotationFile.open(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "x"}, "entry 2 of 'annotations': id is text; expected a whole number"),
        ({"image_id": None}, "entry 2 of 'annotations': image_id is null"),
    ],
)
def test_damaged_entries_are_named(tmp_path: Path, change: dict, message: str) -> None:
    content = files(tmp_path)
    content.lvis_train["annotations"][2].update(change)
    path, _, _ = content.save()
    file = AnnotationFile.open(path)
    with pytest.raises(DataError, match=message):
        list(file.annotations())


def test_an_entry_without_its_mask(tmp_path: Path) -> None:
    content = files(tmp_path)
    content.lvis_train["annotations"][2].pop("segmentation")
    path, _, _ = content.save()
    with pytest.raises(DataError, match="entry 2 of 'annotations' has no 'segmentation'"):
        list(AnnotationFile.open(path).annotations())


def test_files_of_another_data_set(tmp_path: Path) -> None:
    path, _, _ = files(tmp_path).save()
    file = AnnotationFile.open(path)
    names = {category.id: category.name for category in file.categories}
    check_names(file, names, what="X", few=False)
    check_names(file, {}, what="X", few=True)
    with pytest.raises(DataError, match="category 1 is 'aerosol_can'; X calls it None"):
        check_names(file, {}, what="X", few=False)
    with pytest.raises(DataError, match="category 2 is 'air_conditioner'; X calls it 'fan'"):
        check_names(file, {2: "fan"}, what="X", few=True)
