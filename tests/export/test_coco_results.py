"""Scores of our own output by pycocotools: category ids and image ids are those of the truth."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from segtune.export.coco_results import CocoResultsSink
from segtune.export.sinks import ImageRef
from segtune.types import Segment, Segmentation, Vocabulary

WORDS = Vocabulary.of("toothbrush", "person")
PERSON = Segment(1, 0.75, (1, 1, 5, 4), np.ones((3, 4), bool))


def test_average_precision_by_pycocotools(tmp_path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    box = [1, 1, 4, 3]
    truth = {"image_id": 139, "category_id": 1, "iscrowd": 0, "area": 12, "bbox": box, "id": 1}
    truth["segmentation"] = [[1, 1, 5, 1, 5, 4, 1, 4]]
    content = {
        "images": [{"id": 139, "width": 8, "height": 6}],
        "annotations": [truth],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(content))
    sink = CocoResultsSink()
    sink.open(tmp_path / "results.json", WORDS, images={"a": ImageRef(139, "a.jpg")})
    sink.add("a", None, Segmentation((6, 8), WORDS, None, (PERSON,)))
    sink.close()
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(tmp_path / "gt.json"))
        score = COCOeval(known, known.loadRes(str(tmp_path / "results.json")), "segm")
        score.evaluate()
        score.accumulate()
        score.summarize()
    assert score.stats[0] == pytest.approx(1.0)


def test_other_words_are_numbered(tmp_path) -> None:
    sink = CocoResultsSink()
    words = Vocabulary.of("unicorn", "person")
    sink.open(tmp_path / "results.json", words)
    sink.add("a", None, Segmentation((6, 8), words, None, (PERSON, replace(PERSON, score=0.5))))
    sink.add("b", None, Segmentation((6, 8), words))
    sink.close()
    entries = json.loads((tmp_path / "results.json").read_text())
    assert [(e["category_id"], e["image_id"], e["score"]) for e in entries] == [
        (2, 0, 0.75),
        (2, 0, 0.5),
    ]
