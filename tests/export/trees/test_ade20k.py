"""ADE20K full of 2016, decoded here by Pillow and str.split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.errors import SegtuneError
from segtune.export.trees.ade20k import Ade20kSink
from segtune.ops.segments import crop_segment
from segtune.types import Concept, Segmentation, Vocabulary


def test_a_map_and_its_names(tmp_path: Path) -> None:
    words = Vocabulary((*(Concept(f"c{i}") for i in range(300)), Concept("dog", ("hound",))))
    hidden, above = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    hidden[0, 0], above[0, :2] = True, True
    rest = np.zeros((2, 3), bool)
    rest[1] = True
    segments = (
        crop_segment(hidden, 5, 1.0),
        crop_segment(above, 300, 1.0),
        crop_segment(rest, 7, 1.0),
    )
    sink = Ade20kSink()
    sink.open(tmp_path, words)
    sink.add("a", None, Segmentation((2, 3), words, None, segments))
    channels = np.asarray(Image.open(tmp_path / "a_seg.png")).astype(int)
    ids = channels[..., 0] // 10 * 256 + channels[..., 1]
    assert ids.tolist() == [[301, 301, 0], [8, 8, 8]]
    assert channels[..., 2].tolist() == [[1, 1, 0], [2, 2, 2]]
    lines = [line.split(" # ") for line in (tmp_path / "a_atr.txt").read_text().splitlines()]
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("001", "0", "dog, hound"),
        ("002", "0", "c7"),
    ]


def test_more_objects_than_a_byte_holds_are_refused(tmp_path: Path) -> None:
    words = Vocabulary.of("dot")
    dots = []
    for i in range(256):
        mask = np.zeros((16, 16), bool)
        mask.flat[i] = True
        dots.append(crop_segment(mask, 0, 1.0))
    sink = Ade20kSink()
    sink.open(tmp_path / "out", words)
    with pytest.raises(SegtuneError, match="has room for 255, but there are 256"):
        sink.add("a", None, Segmentation((16, 16), words, None, tuple(dots)))
    assert not (tmp_path / "out").exists()
