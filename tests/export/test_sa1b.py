"""SA-1B's JSON, opened here by json and pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from segtune.export.sa1b import Sa1bSink
from segtune.export.sinks import ImageRef
from tests.export.results import WORDS, answer


def test_every_mask(tmp_path: Path) -> None:
    sink = Sa1bSink()
    sink.open(tmp_path, WORDS, images={"a": ImageRef(17, "a.png")})
    sink.add("a", None, answer(last=0))
    assert sink.close() == [tmp_path]
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["image"] == {"image_id": 17, "width": 8, "height": 6, "file_name": "a.png"}
    segments = answer(last=0).segments
    assert len(content["annotations"]) == len(segments)
    for entry, segment in zip(content["annotations"], segments, strict=True):
        mask = coco_mask.decode(entry["segmentation"]).astype(bool)
        assert (mask == segment.full_mask((6, 8))).all()
        assert entry["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert entry["bbox"] == [columns.min(), rows.min(), width, height]
