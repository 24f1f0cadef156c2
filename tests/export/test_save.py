"""Saving single results."""

import json

import numpy as np
import pytest

from segtune.data.formats.coco.panoptic import read_segment_ids
from segtune.data.images import read_label_map
from segtune.errors import SegtuneError
from segtune.ops.segments import segments_from_semantic
from segtune.types import IGNORE, Segmentation, Vocabulary

VOCABULARY = Vocabulary.of("road", "car")


@pytest.fixture
def result():
    labels = np.array([[0, 0, 1, IGNORE]] * 3, dtype=np.int32)
    return Segmentation((3, 4), VOCABULARY, labels, segments_from_semantic(labels, VOCABULARY))


def test_png_and_json(result, tmp_path):
    labels = read_label_map(result.save(tmp_path / "a.png"))
    assert (labels == np.where(result.semantic == IGNORE, 255, result.semantic)).all()
    content = json.loads(result.save(tmp_path / "a.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["road", "car"]
    assert sorted(entry["area"] for entry in content["annotations"]) == [3, 6]


def test_formats_by_name(result, tmp_path):
    image = np.zeros((3, 4, 3), np.uint8)
    overlay = result.save(tmp_path / "o.png", format="overlay", image=image)
    assert overlay.read_bytes()[:4] == b"\x89PNG"
    file = result.save(tmp_path / "p.json", format="panoptic")
    assert "segments_info" in json.loads(file.read_text())["annotations"][0]
    assert read_segment_ids(tmp_path / "p" / "p.png").max() == 2


def test_an_instance_result_that_found_nothing(tmp_path):
    empty = Segmentation((3, 4), VOCABULARY)
    assert json.loads(empty.save(tmp_path / "a.json").read_text())["annotations"] == []


def test_other_endings_and_missing_parts(result, tmp_path):
    with pytest.raises(SegtuneError, match=r"cannot save as \.tiff; use \.png or \.json"):
        result.save(tmp_path / "a.tiff")
    with pytest.raises(SegtuneError, match=r"cannot save as 'a'; use \.png or \.json"):
        result.save(tmp_path / "a")
    with pytest.raises(SegtuneError, match=r"cannot save as \.png; use \.json"):
        result.save(tmp_path / "a.png", format="panoptic")
    with pytest.raises(SegtuneError, match="'cocoo' is not a format"):
        result.save(tmp_path / "a.json", format="cocoo")
    with pytest.raises(SegtuneError, match="give image="):
        result.save(tmp_path / "a.png", format="overlay")
    with pytest.raises(SegtuneError, match="no segments"):
        Segmentation((3, 4), VOCABULARY, result.semantic).save(tmp_path / "a.json")
    with pytest.raises(SegtuneError, match="no label map"):
        Segmentation((3, 4), VOCABULARY, None, result.segments).save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
