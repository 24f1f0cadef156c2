"""Saving and converting single results."""

import json
import sys

import numpy as np
import pytest

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


def test_other_endings_and_missing_parts(result, tmp_path):
    with pytest.raises(SegtuneError, match=r"use \.png or \.json"):
        result.save(tmp_path / "a.tiff")
    with pytest.raises(SegtuneError, match="no segments"):
        Segmentation((3, 4), VOCABULARY, result.semantic).save(tmp_path / "a.json")
    with pytest.raises(SegtuneError, match="no label map"):
        Segmentation((3, 4), VOCABULARY, None, result.segments).save(tmp_path / "a.png")


def test_supervision_is_an_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SegtuneError, match=r"segtune\[viz\]"):
        result.to_supervision()


def test_supervision_detections(result):
    pytest.importorskip("supervision", reason="the extra viz is not installed")
    detections = result.to_supervision()
    assert detections.mask.shape == (2, 3, 4)
    assert detections.data["class_name"].tolist() == ["road", "car"]
