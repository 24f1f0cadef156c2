"""LVIS's AP against the public `lvis` package, and cases by hand."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segtune.eval.instances.evaluator import InstanceEvaluator
from segtune.types import Concept, Instance, Vocabulary
from tests.eval.instances.test_evaluator import encode, random_mask, rectangle, segment

CLASSES, IMAGES, SIZE = 6, 14, (60, 80)
FREQUENCIES = "rccffr"
WORDS = Vocabulary(tuple(Concept(f"class {i}", group=f) for i, f in enumerate(FREQUENCIES)))


@pytest.fixture
def lvis(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package, without its drawings, and with the alias that NumPy 1.24 removed."""
    if importlib.util.find_spec("lvis") is None:
        pytest.skip("lvis is not installed: pip install --no-deps lvis")
    drawing = ModuleType("lvis.vis")
    drawing.LVISVis = None
    monkeypatch.setitem(sys.modules, "lvis.vis", drawing)
    monkeypatch.setattr(np, "float", float, raising=False)
    package = importlib.import_module("lvis")
    monkeypatch.setattr(logging.getLogger(), "level", logging.ERROR)
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "lvis"]:
        sys.modules.pop(name)


def random_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A federated file and results with ties, twins, empty images and unknown classes."""
    rng = np.random.default_rng(seed)
    images, truth, results = [], [], []
    for image_id in range(1, IMAGES + 1):
        masks = []
        for _ in range(0 if image_id == 2 else rng.integers(0, 6)):
            twin = bool(masks) and rng.random() < 0.2
            masks.append(masks[-1] if twin else random_mask(rng))
            area = float(masks[-1].sum()) * float(rng.choice([1, 1, 0.3]))
            entry = {"id": len(truth) + 1, "image_id": image_id, "area": area}
            entry |= {
                "category_id": int(rng.integers(1, CLASSES)),
                "iscrowd": 0,
            }  # none of the last
            entry |= {"segmentation": text_rle(masks[-1])}
            truth.append(entry | {"bbox": coco_mask.toBbox(encode(masks[-1])).tolist()})
        there = {entry["category_id"] for entry in truth if entry["image_id"] == image_id}
        others = sorted(set(range(1, CLASSES + 1)) - there)
        images.append(
            {
                "id": image_id,
                "height": SIZE[0],
                "width": SIZE[1],
                "neg_category_ids": [k for k in others if rng.random() < 0.4],
                "not_exhaustive_category_ids": [k for k in sorted(there) if rng.random() < 0.4],
            }
        )
        for _ in range(0 if image_id == 3 else rng.integers(0, 40)):
            near = masks[rng.integers(len(masks))] if masks and rng.random() < 0.7 else None
            entry = {"image_id": image_id, "segmentation": text_rle(random_mask(rng, near))}
            entry |= {"category_id": int(rng.integers(CLASSES)) + 1}
            results.append(entry | {"score": float(rng.integers(0, 8)) / 8})
    categories = [
        {"id": i + 1, "name": f"class {i}", "frequency": f, "image_count": 1, "instance_count": 1}
        for i, f in enumerate(FREQUENCIES)
    ]
    return {"images": images, "annotations": truth, "categories": categories}, results


def text_rle(mask: np.ndarray) -> dict[str, Any]:
    rle = encode(mask)
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def filled(content: dict[str, Any], results: list[dict[str, Any]]) -> InstanceEvaluator:
    evaluator = InstanceEvaluator(WORDS, category_ids=range(1, CLASSES + 1))
    for image in reversed(content["images"]):
        evaluator.update(
            image["id"],
            [x for x in results if x["image_id"] == image["id"]],
            [x for x in content["annotations"] if x["image_id"] == image["id"]],
            absent=[k - 1 for k in image["neg_category_ids"]],
            not_exhaustive=[k - 1 for k in image["not_exhaustive_category_ids"]],
        )
    return evaluator


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [300, 7])
def test_equals_the_public_package(seed: int, limit: int, lvis: ModuleType, tmp_path: Path) -> None:
    content, results = random_case(seed)
    file = tmp_path / "lvis.json"
    file.write_text(json.dumps(content))
    with contextlib.redirect_stdout(None):
        truth = lvis.LVIS(str(file))
        found = lvis.LVISResults(truth, copy.deepcopy(results), max_dets=limit)
        reference = lvis.LVISEval(truth, found)
        reference.params.max_dets = limit
        reference.run()
    scores = filled(content, results).federated(limits=(limit,))
    assert scores.precision is not None
    np.testing.assert_array_equal(
        np.nan_to_num(scores.precision[..., 0], nan=-1), reference.eval["precision"]
    )
    np.testing.assert_array_equal(
        np.nan_to_num(scores.recall[..., 0], nan=-1), reference.eval["recall"]
    )
    row = scores.summary()
    theirs = reference.get_results()
    renamed = {f"AP{f}": f"AP({f})" for f in "rcf"}
    assert len(theirs) == 13
    for name, value in theirs.items():
        ours = row[renamed.get(name, name)]
        assert np.nan_to_num(ours, nan=-1) == pytest.approx(value, abs=1e-12), name


def test_all_limits_come_from_one_pass() -> None:
    evaluator = filled(*random_case(11))
    together = evaluator.federated(limits=(2, 7, 300))
    for place, limit in enumerate((2, 7, 300)):
        alone = evaluator.federated(limits=(limit,))
        np.testing.assert_array_equal(together.precision[..., place], alone.precision[..., 0])
        np.testing.assert_array_equal(together.recall[..., place], alone.recall[..., 0])


BOXES = [(0, 0, 10, 10), (20, 0, 30, 10)]


@pytest.mark.parametrize(
    ("absent", "not_exhaustive", "expected"),
    [
        (None, (), 0.5),  # the better prediction of class 0 finds nothing: an error
        ((), (), 0.5),  # class 0 is in the image, so it was looked for
        ((), (0,), 1.0),  # there may be more of class 0 than is annotated
        ((1,), (1,), 0.5),
    ],
)
def test_predictions_that_find_nothing(absent, not_exhaustive, expected) -> None:
    evaluator = InstanceEvaluator(2)
    truth = [Instance(0, rectangle(BOXES[0]))]
    preds = [segment(BOXES[1], 0.9), segment(BOXES[0], 0.5)]
    evaluator.update("a", preds, truth, absent=absent, not_exhaustive=not_exhaustive)
    assert evaluator.federated().average_precision() == pytest.approx(expected)


@pytest.mark.parametrize(("absent", "expected"), [(None, 0.5), ((0,), 0.5), ((), 1.0), ((1,), 1.0)])
def test_a_class_nobody_looked_for_is_no_error(absent, expected) -> None:
    evaluator = InstanceEvaluator(2)
    evaluator.update("a", [segment(BOXES[1], 0.9)], [], absent=absent)
    evaluator.update("b", [segment(BOXES[0], 0.5)], [Instance(0, rectangle(BOXES[0]))])
    assert evaluator.federated().average_precision() == pytest.approx(expected)


def test_predictions_of_unknown_classes_take_places() -> None:
    evaluator = InstanceEvaluator(2)
    preds = [segment(BOXES[1], 0.9, class_id=1), segment(BOXES[0], 0.5)]
    evaluator.update("a", preds, [Instance(0, rectangle(BOXES[0]))], absent=())
    scores = evaluator.federated(limits=(1, 2))
    assert [scores.average_recall(limit=limit) for limit in (1, 2)] == [0, 1]


def test_crowds_are_dropped() -> None:
    evaluator = InstanceEvaluator(1)
    truth = [Instance(0, rectangle(box), is_crowd=k == 1) for k, box in enumerate(BOXES)]
    evaluator.update("a", [segment(BOXES[0], 0.9)], truth, absent=())
    assert evaluator.federated().average_recall() == 1
