"""Results as detections of another library."""

import sys

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.ops.segments import segments_from_semantic
from segtune.types import IGNORE, Segmentation, Vocabulary

VOCABULARY = Vocabulary.of("road", "car")


@pytest.fixture
def result():
    labels = np.array([[0, 0, 1, IGNORE]] * 3, dtype=np.int32)
    return Segmentation((3, 4), VOCABULARY, labels, segments_from_semantic(labels, VOCABULARY))


def test_supervision_is_an_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SegtuneError, match=r"segtune\[viz\]"):
        result.to_supervision()


def test_supervision_detections(result):
    pytest.importorskip("supervision", reason="the extra viz is not installed")
    detections = result.to_supervision()
    assert detections.mask.shape == (2, 3, 4)
    assert detections.data["class_name"].tolist() == ["road", "car"]
