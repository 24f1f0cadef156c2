"""AP and AR against COCOeval itself, and cases by hand."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segtune.errors import SegtuneError
from segtune.eval.instances.evaluator import InstanceEvaluator
from segtune.ops.segments import crop_segment
from segtune.types import Concept, Instance, Segment, Vocabulary

SIZE = (60, 80)


def rectangle(box, size=SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    x1, y1, x2, y2 = box
    mask[y1:y2, x1:x2] = True
    return mask


def encode(mask: np.ndarray) -> dict:
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def random_mask(rng, near: np.ndarray | None = None) -> np.ndarray:
    """A noisy rectangle, or a shifted copy of another mask."""
    if near is not None:
        return np.roll(near, tuple(rng.integers(-2, 3, 2)), (0, 1))
    x, y = rng.integers(0, 70), rng.integers(0, 50)
    w, h = rng.integers(2, 60, 2)
    return rectangle((x, y, min(x + w, 80), min(y + h, 60))) & (rng.random(SIZE) < 0.9)


def random_entries(seed: int, *, images=12, classes=3, objects=6, preds=25):
    """COCO annotations and results with crowds, many equal scores, twins and empty images."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    for image_id in range(images):
        masks = []
        for _ in range(0 if image_id == 1 else rng.integers(0, objects + 1)):
            twin = bool(masks) and rng.random() < 0.2
            masks.append(masks[-1] if twin else random_mask(rng))
            entry = {"id": len(truth) + 1, "image_id": image_id, "segmentation": encode(masks[-1])}
            entry |= {"category_id": int(rng.integers(classes)) + 1}
            entry |= {"iscrowd": int(rng.random() < 0.15)}
            entry |= {"area": float(masks[-1].sum()) * rng.choice([1, 1, 0.3])}
            entry |= {"bbox": coco_mask.toBbox(entry["segmentation"]).tolist()}
            truth.append(entry)
        for _ in range(0 if image_id == 2 else rng.integers(0, preds + 1)):
            near = masks[rng.integers(len(masks))] if masks and rng.random() < 0.7 else None
            entry = {"image_id": image_id, "segmentation": encode(random_mask(rng, near))}
            entry |= {"category_id": int(rng.integers(classes)) + 1}
            results.append(entry | {"score": float(rng.integers(0, 8)) / 8})
    return truth, results


def coco_eval(truth, results, *, iou_type="segm", use_cats=True, images=12, classes=3, limits):
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(images)],
        "annotations": [dict(entry) for entry in truth],
        "categories": [{"id": i + 1, "name": str(i)} for i in range(classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(entry) for entry in results]), iou_type)
        evaluation.params.useCats = int(use_cats)
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        if len(limits) == 3 and limits[2] == 100:
            evaluation.summarize()
    return evaluation


def filled(truth, results, *, images=12, classes=3, convert=lambda entry: entry, **options):
    ids = range(1, classes + 1)
    evaluator = InstanceEvaluator(classes, category_ids=ids, **options)
    for image_id in reversed(range(images)):  # the order of the calls plays no role
        evaluator.update(
            image_id,
            [convert(x) for x in results if x["image_id"] == image_id],
            [convert(x) for x in truth if x["image_id"] == image_id],
        )
    return evaluator


def same(scores, reference) -> None:
    np.testing.assert_array_equal(
        np.nan_to_num(scores.precision, nan=-1), reference.eval["precision"]
    )
    np.testing.assert_array_equal(np.nan_to_num(scores.recall, nan=-1), reference.eval["recall"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("use_cats", [True, False])
@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_equals_coco_eval(seed, use_cats, iou_type) -> None:
    truth, results = random_entries(seed)
    if iou_type == "bbox":
        for entry in results:
            entry["bbox"] = coco_mask.toBbox(entry.pop("segmentation")).tolist()
    evaluator = filled(
        truth,
        results,
        overlap_of="masks" if iou_type == "segm" else "boxes",
        across_classes=not use_cats,
    )
    score = evaluator.result if use_cats else evaluator.class_agnostic
    reference = coco_eval(truth, results, iou_type=iou_type, use_cats=use_cats, limits=(1, 10, 100))
    same(score(), reference)
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100"]
    names += ["ARs@100", "ARm@100", "ARl@100"]
    row = score().summary()
    assert [np.nan_to_num(row[name], nan=-1) for name in names] == reference.stats.tolist()
    # All limits come from one matching; a smaller last limit is a prefix of it.
    limits = (2, 3, 7, 20)
    same(
        score(limits=limits),
        coco_eval(truth, results, iou_type=iou_type, use_cats=use_cats, limits=limits),
    )


def test_per_class_columns_are_those_of_coco() -> None:
    truth, results = random_entries(9)
    scores = filled(truth, results).result()
    reference = coco_eval(truth, results, limits=(1, 10, 100)).eval
    columns = scores.per_class()
    for k in range(3):
        precision = reference["precision"][:, :, k, 0, 2]
        assert columns["AP"][k] == pytest.approx(precision[precision > -1].mean(), abs=1e-12)
        half = reference["precision"][0, :, k, 0, 2]
        assert columns["AP50"][k] == pytest.approx(half[half > -1].mean(), abs=1e-12)
        recall = reference["recall"][:, k, 0, 2]
        assert columns["AR@100"][k] == pytest.approx(recall[recall > -1].mean(), abs=1e-12)


@pytest.mark.parametrize("mixed", [False, True])
def test_segments_score_as_their_rle(mixed) -> None:
    truth, results = random_entries(5)
    for entry in truth:
        entry["area"] = float(coco_mask.area(entry["segmentation"]))

    def convert(entry):
        if mixed and "id" in entry:
            return entry
        mask = coco_mask.decode(entry["segmentation"]).astype(bool)
        class_id = entry["category_id"] - 1
        if "id" in entry:
            return Instance(class_id, mask, bool(entry["iscrowd"]))
        return crop_segment(mask, class_id, entry["score"])

    evaluator = filled(truth, results, convert=convert)
    same(evaluator.result(), coco_eval(truth, results, limits=(1, 10, 100)))


def test_uncompressed_rle_and_merging() -> None:
    truth, results = random_entries(6)
    plain = filled(truth, results).result()
    runs = [dict(entry) for entry in truth]
    for entry in runs:
        flat = coco_mask.decode(entry["segmentation"]).flatten(order="F").astype(int)
        edges = np.flatnonzero(np.diff(flat, prepend=0, append=-1))
        entry["segmentation"] = {
            "size": list(SIZE),
            "counts": np.diff(edges, prepend=0).tolist(),
        }
    evaluators = [InstanceEvaluator(3, category_ids=[1, 2, 3]) for _ in range(2)]
    for image_id in range(12):
        evaluators[image_id % 2].update(
            image_id,
            [x for x in results if x["image_id"] == image_id],
            [x for x in runs if x["image_id"] == image_id],
        )
    evaluators[0].merge(evaluators[1])
    np.testing.assert_array_equal(evaluators[0].result().precision, plain.precision)
    with pytest.raises(SegtuneError, match="in both evaluators"):
        evaluators[0].merge(evaluators[1])
    with pytest.raises(SegtuneError, match="same settings"):
        evaluators[0].merge(InstanceEvaluator(2))


# -- cases by hand ------------------------------------------------------------------------------


def one_image(preds, truth, **options):
    evaluator = InstanceEvaluator(options.pop("classes", 2), **options)
    evaluator.update("a", preds, truth)
    return evaluator


def segment(box, score=0.5, class_id=0) -> Segment:
    return crop_segment(rectangle(box), class_id, score)


def test_no_image_no_truth_no_prediction() -> None:
    assert np.isnan(list(InstanceEvaluator(2).result().summary().values())).all()
    only_preds = one_image([segment((0, 0, 9, 9))], [], across_classes=True)
    assert np.isnan(only_preds.result().average_precision())
    assert np.isnan(only_preds.class_agnostic().average_recall())
    assert np.isnan(only_preds.open_world().average_recall())
    only_truth = one_image([], [Instance(0, rectangle((0, 0, 9, 9)))])
    assert only_truth.result().summary()["AP"] == 0
    assert only_truth.result().average_recall() == 0
    assert np.isnan(only_truth.result().per_class()["AP"]).tolist() == [False, True]


def test_groups_of_the_vocabulary() -> None:
    concepts = (Concept("a", group="seen"), Concept("b", group="unseen"), Concept("c"))
    evaluator = InstanceEvaluator(Vocabulary(concepts), across_classes=True)
    boxes = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]
    truth = [Instance(k, rectangle(box)) for k, box in enumerate(boxes)]
    evaluator.update(0, [segment(boxes[0]), segment(boxes[1], class_id=2)], truth)
    row = evaluator.result().summary()
    assert row["AP(seen)"] == pytest.approx(1)
    assert (row["AR@100(unseen)"], row["AR@100"]) == (0, pytest.approx(1 / 3))
    # Without classes the second prediction finds the unseen object.
    open_world = evaluator.open_world(limits=(1, 100), groups={"last": [2]})
    assert open_world.average_recall(class_ids=[1]) == 1
    assert open_world.average_recall(limit=1, class_ids=[1]) == 0
    row = open_world.summary()
    assert (row["AR@100"], row["AR@100(last)"]) == (pytest.approx(2 / 3), 0)
    assert "AP" not in row
    assert np.isnan(open_world.average_precision())
    assert list(open_world.per_class()) == ["AR@100"]


def test_results_without_a_known_category() -> None:
    mask = encode(rectangle((0, 0, 10, 10)))
    result = [{"category_id": 77, "segmentation": mask, "score": 1.0}]
    truth = [{"category_id": 5, "segmentation": mask}]
    options = {"category_ids": [5], "classes": 1}
    with pytest.raises(SegtuneError, match=r"'a': category 77 .* pass the data set's category_ids"):
        one_image(result, truth, **options)
    evaluator = one_image(result, truth, across_classes=True, **options)
    assert evaluator.class_agnostic().average_recall() == 1
    assert evaluator.result().average_recall() == 0


TRUTH = [Instance(0, rectangle((0, 0, 9, 9)))]


@pytest.mark.parametrize(
    ("preds", "truth", "message"),
    [
        ([segment((0, 0, 9, 9), class_id=2)], TRUTH, "class ids 2..2 are not in the vocabulary"),
        ([segment((0, 0, 9, 9), score=np.nan)], TRUTH, "score nan; expected a finite"),
        ([Segment(0, 0.5, (0, 0, 81, 9), np.ones((9, 81), bool))], TRUTH, "truth is 80x60"),
        ([], [*TRUTH, Instance(0, np.ones((3, 4), bool))], "different sizes"),
        ([{"category_id": 0, "score": 1.0, "bbox": [0, 0, 1, 1]}], TRUTH, "no RLE mask"),
        ([{"category_id": 0, "score": 1.0}, segment((0, 0, 9, 9))], TRUTH, "give one form"),
        (
            [{"category_id": 0, "score": 1.0, "segmentation": encode(np.ones((5, 6), bool))}],
            TRUTH,
            "image of 6x5 pixels but the truth is 80x60",
        ),
    ],
)
def test_bad_input_is_one_clear_line(preds, truth, message) -> None:
    with pytest.raises(SegtuneError, match=f"image 'a': .*{message}"):
        one_image(preds, truth)


def test_bad_settings() -> None:
    evaluator = one_image([], TRUTH)
    with pytest.raises(SegtuneError, match="already given"):
        evaluator.update("a", [], [])
    for call, message in (
        (lambda: InstanceEvaluator(0), "at least 1 class"),
        (lambda: InstanceEvaluator(1, iou_thresholds=(0.0, 0.5)), "expected numbers in"),
        (lambda: InstanceEvaluator(2, category_ids=[1]), "1 category_ids for 2 classes"),
        (evaluator.class_agnostic, "across_classes=True"),
        (evaluator.open_world, "across_classes=True"),
        (lambda: evaluator.result(limits=(0,)), "at least 1"),
        (lambda: evaluator.result().average_precision(iou=0.33), "none of"),
        (lambda: evaluator.result().average_precision(area="tiny"), "were not evaluated"),
    ):
        with pytest.raises(SegtuneError, match=message):
            call()


def test_one_threshold_and_own_areas() -> None:
    evaluator = one_image([segment((0, 0, 9, 9))], TRUTH, iou_thresholds=(0.6,))
    areas = {"all": (0, 1e10), "tiny": (0, 10)}
    row = evaluator.result(areas=areas, limits=(5,)).summary()
    assert list(row) == ["AP", "APt", "AR@5", "ARt@5"]
    assert (row["AP"], row["AR@5"]) == (pytest.approx(1), 1)
    assert np.isnan(row["APt"])
