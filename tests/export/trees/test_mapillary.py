"""Vistas with classes of one's own, number by number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.errors import SegtuneError
from segtune.export.trees.mapillary import MapillarySink, write_configuration
from segtune.types import Segmentation, Vocabulary
from tests.export.results import WORDS, answer


def test_both_maps_and_the_configuration(tmp_path: Path) -> None:
    sink = MapillarySink()
    sink.open(tmp_path / "training" / "labels", WORDS)
    sink.add("a", None, answer(last=0))
    labels = np.asarray(Image.open(tmp_path / "training" / "labels" / "a.png"))
    objects = np.asarray(Image.open(tmp_path / "training" / "instances" / "a.png"))
    where = ([0, 0, 1, 5], [0, 1, 1, 7])
    assert labels[where].tolist() == [2, 1, 0, 0]
    assert objects[where].tolist() == [2 * 256, 256, 0, 1]
    write_configuration(tmp_path / "config.json", WORDS)
    entries = json.loads((tmp_path / "config.json").read_text())["labels"]
    assert [entry["readable"] for entry in entries] == ["star", "grass", "unlabeled"]
    assert [entry["instances"] for entry in entries] == [True, False, False]


def test_more_classes_than_fit_are_refused(tmp_path: Path) -> None:
    words = Vocabulary.of(*(f"c{i}" for i in range(300)))
    sink = MapillarySink()
    sink.open(tmp_path, words)
    with pytest.raises(SegtuneError, match="has room for 255, but there are 300"):
        sink.add("a", None, Segmentation((1, 1), words, np.zeros((1, 1), np.int32)))
