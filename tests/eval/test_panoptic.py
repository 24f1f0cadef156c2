"""PQ against golden vectors, a loop over segments in words, and cases by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats.coco.panoptic import read_segment_ids
from segtune.errors import DataError, SegtuneError
from segtune.eval.panoptic import PanopticEvaluator
from segtune.ops.segments import crop_segment
from segtune.types import IGNORE, Concept, Instance, Sample, Segmentation, Vocabulary
from tests.goldens import ROOT

VOCABULARY = Vocabulary(
    (
        Concept("car", group="seen"),
        Concept("tree", group="unseen"),
        Concept("road", kind="stuff"),
        Concept("sky", kind="stuff"),
    )
)


def slow_counts(pred_ids, pred_classes, truth_ids, truth_classes, crowd_ids) -> np.ndarray:
    """Overlaps, TP, FP and FN of each class, (4, K), by masks and in words."""
    counts = np.zeros((4, len(VOCABULARY)))
    void = truth_ids == 0
    found, used = set(), set()
    for t, k in truth_classes.items():
        for p, other in pred_classes.items():
            mine, theirs = truth_ids == t, pred_ids == p
            union = (mine | (theirs & ~void)).sum()
            iou = (mine & theirs).sum() / union if union else 0
            if other == k and t not in crowd_ids and iou > 0.5:
                counts[:2, k] += iou, 1
                found.add(t)
                used.add(p)
    for t, k in truth_classes.items():
        counts[3, k] += t not in found and t not in crowd_ids
    for p, k in pred_classes.items():
        crowds = [t for t in truth_classes if t in crowd_ids and truth_classes[t] == k]
        excused = void | (np.isin(truth_ids, crowds[-1:]))
        share = ((pred_ids == p) & excused).sum() / (pred_ids == p).sum()
        counts[2, k] += p not in used and share <= 0.5
    return counts


def random_image(rng, *, size=(13, 17), blocky=True):
    """Two similar maps of segments with their classes, and crowds among the true ones."""
    step = 4 if blocky else 1
    coarse = rng.integers(0, 9, (-(-size[0] // step), -(-size[1] // step)))
    truth_ids = np.kron(coarse, np.ones((step, step), int))[: size[0], : size[1]] * 1_000_003
    moved = np.roll(truth_ids, rng.integers(0, 2), rng.integers(0, 2))
    pred_ids = np.where(rng.random(size) < 0.1, 1_000_003 * rng.integers(0, 9, size), moved)
    truth_list = {int(i): int(rng.integers(4)) for i in np.unique(truth_ids) if i}
    pred_list = {
        int(i): truth_list.get(int(i), 0) if rng.random() < 0.8 else int(rng.integers(4))
        for i in rng.permutation(np.unique(pred_ids))
        if i
    }
    crowds = [i for i in truth_list if rng.random() < 0.25]
    return pred_ids, pred_list, truth_ids, truth_list, crowds


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("blocky", [True, False])
def test_equals_a_loop_over_segments(dtype, blocky) -> None:
    rng = np.random.default_rng(0)
    evaluator, halves = PanopticEvaluator(VOCABULARY), PanopticEvaluator(VOCABULARY)
    expected = np.zeros((4, len(VOCABULARY)))
    for number in range(20):
        pred_ids, preds, truth_ids, truth, crowds = random_image(rng, blocky=blocky)
        expected += slow_counts(pred_ids, preds, truth_ids, truth, crowds)
        part = evaluator if number % 2 else halves
        part.update(pred_ids.astype(dtype), preds, truth_ids.astype(dtype), truth, crowd_ids=crowds)
    evaluator.merge(halves)
    scores = evaluator.result()
    np.testing.assert_allclose(scores.iou_sum, expected[0], rtol=1e-12)
    np.testing.assert_array_equal((scores.matches, scores.errors, scores.misses), expected[1:])


def score(pred, pred_classes, truth, truth_classes, **options):
    evaluator = PanopticEvaluator(VOCABULARY)
    evaluator.update(np.array([pred]), pred_classes, np.array([truth]), truth_classes, **options)
    return evaluator.result()


def test_scores_by_hand() -> None:
    # Car: 3 of 4 pixels. Road: predicted as sky. Tree occurs nowhere.
    scores = score([1, 1, 1, 0, 2, 2], {1: 0, 2: 3}, [1, 1, 1, 1, 2, 2], {1: 0, 2: 2})
    np.testing.assert_array_equal(scores.pq, [0.75, np.nan, 0, 0])
    np.testing.assert_array_equal(scores.sq, [0.75, np.nan, 0, 0])
    np.testing.assert_array_equal(scores.rq, [1, np.nan, 0, 0])
    row = scores.summary()
    assert (row["PQ"], row["PQth"], row["PQst"]) == (0.25, 0.75, 0)
    assert (row["RQ"], row["PQ(seen)"]) == (pytest.approx(1 / 3), 0.75)
    assert np.isnan(row["PQ(unseen)"])
    assert scores.average(class_ids=[0, 1]).num_classes == 1
    assert list(scores.per_class()) == ["PQ", "SQ", "RQ"]


@pytest.mark.parametrize(
    ("pred", "truth", "crowds", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 1, 1], (), (0, 1, 1)),  # half an overlap is no match
        ([1, 1, 1, 0], [1, 1, 0, 0], (), (1, 0, 0)),  # predicted void pixels do not count
        ([1, 1, 1, 1], [1, 0, 0, 0], (), (1, 0, 0)),
        ([1, 1, 1, 1], [0, 0, 0, 0], (), (0, 0, 0)),  # on void: no error
        ([1, 1, 1, 1], [1, 1, 1, 1], (1,), (0, 0, 0)),  # on a crowd: neither right nor wrong
        ([1, 1, 1, 1], [1, 1, 0, 0], (1,), (0, 0, 0)),  # void and crowd add up
        ([0, 0, 0, 0], [1, 1, 1, 1], (1,), (0, 0, 0)),  # a crowd is never missed
        ([0, 0, 0, 0], [1, 1, 1, 1], (), (0, 0, 1)),
        ([1, 1, 0, 0], [0, 1, 0, 0], (1,), (0, 0, 0)),
    ],
)
def test_void_and_crowds(pred, truth, crowds, expected) -> None:
    listed = [dict.fromkeys(set(ids) - {0}, 0) for ids in (pred, truth)]
    scores = score(pred, listed[0], truth, listed[1], crowd_ids=crowds)
    assert (scores.matches[0], scores.errors[0], scores.misses[0]) == expected


def test_a_crowd_excuses_only_its_class_and_the_last_one_counts() -> None:
    # As in panopticapi: of several crowds of a class the last one in the list is looked at.
    truth, classes = [1, 1, 2, 2, 3, 3], {1: 0, 2: 0, 3: 1}
    for pred, errors in (([1, 1, 0, 0, 0, 0], 1), ([0, 0, 1, 1, 0, 0], 0), ([0, 0, 0, 0, 1, 1], 1)):
        scores = score(pred, {1: 0}, truth, classes, crowd_ids=(1, 2, 3))
        assert scores.errors[0] == errors


def test_a_listed_true_segment_without_pixels_is_missed() -> None:
    assert score([0, 0], {}, [0, 0], {5: 1}).misses[1] == 1


def test_no_image() -> None:
    assert np.isnan(list(PanopticEvaluator(VOCABULARY).result().summary().values())).all()


@pytest.mark.parametrize(
    ("pred", "pred_classes", "truth", "truth_classes", "message"),
    [
        ([1, 1, 1], {1: 0}, [1, 1], {1: 0}, "size of the truth"),
        ([1.0, 1], {1: 0}, [1, 1], {1: 0}, "expected integers"),
        ([], {}, [], {}, "expected integers"),
        ([1, -1], {1: 0}, [1, 1], {1: 0}, "must be 0"),
        ([1, 2], {1: 0}, [1, 1], {1: 0}, "segment 2 of the prediction has no class"),
        ([1, 1], {1: 0}, [1, 3], {1: 0}, "segment 3 of the truth has no class"),
        ([1, 1], {1: 0, 2: 0}, [1, 1], {1: 0}, "2 is listed but has no pixel"),
        ([1, 0], {1: 0, 0: 0}, [1, 1], {1: 0}, "stands for void"),
        ([1, 1], {1: 4}, [1, 1], {1: 0}, "class ids 4..4 but there are 4"),
    ],
)
def test_bad_input_is_one_clear_line(pred, pred_classes, truth, truth_classes, message) -> None:
    with pytest.raises(SegtuneError, match=message):
        score(pred, pred_classes, truth, truth_classes)


# -- results and samples ------------------------------------------------------------------------


def mask_of(*columns: int) -> np.ndarray:
    mask = np.zeros((2, 6), dtype=bool)
    mask[:, list(columns)] = True
    return mask


def answer(*segments, vocabulary=VOCABULARY) -> Segmentation:
    made = tuple(crop_segment(mask_of(*columns), k, 0.9) for k, columns in segments)
    return Segmentation((2, 6), vocabulary, segments=made)


IMAGE = np.zeros((2, 6, 3), np.uint8)


def test_a_result_against_a_sample() -> None:
    semantic = np.repeat([[0, 0, 2, 2, 3, IGNORE]], 2, axis=0)
    sample = Sample("a", IMAGE, semantic, (Instance(0, mask_of(0, 1)),))
    evaluator = PanopticEvaluator(VOCABULARY)
    # The second segment loses its pixels to the first one; the last lies on void.
    evaluator.update_from(answer((0, (0, 1)), (1, (0, 1)), (2, (2, 3)), (1, (5,))), sample)
    scores = evaluator.result()
    np.testing.assert_array_equal(scores.matches, [1, 0, 1, 0])
    np.testing.assert_array_equal(scores.errors, 0)
    np.testing.assert_array_equal(scores.misses, [0, 0, 0, 1])


def test_things_of_the_semantic_map_and_unnamed_instances_are_void() -> None:
    semantic = np.repeat([[0, 0, 2, 2, 2, 2]], 2, axis=0)
    instances = (Instance(IGNORE, mask_of(2)), Instance(0, mask_of(3), is_crowd=True))
    evaluator = PanopticEvaluator(VOCABULARY)
    evaluator.update_from(
        answer((1, (0, 1, 2)), (0, (3,)), (2, (4, 5))), Sample("a", IMAGE, semantic, instances)
    )
    scores = evaluator.result()
    np.testing.assert_array_equal(scores.matches, [0, 0, 1, 0])
    np.testing.assert_array_equal((scores.errors, scores.misses), 0)


def test_results_and_samples_that_do_not_fit() -> None:
    car = Instance(0, mask_of(0))
    overlapping = Sample("a", IMAGE, instances=(car, Instance(1, mask_of(0, 1))))
    semantic_only = Segmentation((2, 6), VOCABULARY, semantic=np.zeros((2, 6), np.int32))
    small = Segmentation((2, 5), VOCABULARY)
    good = Sample("a", IMAGE, instances=(car,))
    for result, sample, error, message in (
        (answer(vocabulary=Vocabulary.of("x")), good, SegtuneError, "another vocabulary"),
        (semantic_only, good, SegtuneError, "predict with task 'panoptic'"),
        (small, good, SegtuneError, "is 5x2 but its truth is 6x2"),
        (answer(), overlapping, DataError, "instances overlap"),
        (answer(), Sample("a", IMAGE), DataError, "not labelled"),
    ):
        with pytest.raises(error, match=message):
            PanopticEvaluator(VOCABULARY).update_from(result, sample)
    with pytest.raises(SegtuneError, match="same vocabulary"):
        PanopticEvaluator(VOCABULARY).merge(PanopticEvaluator(Vocabulary.of("x")))


# -- golden vectors -----------------------------------------------------------------------------


def golden_cases() -> list[Path]:
    folder = Path(os.environ.get("SEGTUNE_GOLDENS", ROOT.parent / "shared" / "goldens"))
    found = sorted((folder / "panoptic_eval").rglob("expected.json"))
    if not found and os.environ.get("SEGTUNE_REQUIRE_GOLDENS"):
        pytest.fail(f"no goldens of panoptic_eval in {folder}")
    return [path.parent for path in found]


@pytest.mark.golden
def test_golden_scores() -> None:
    if not (cases := golden_cases()):
        pytest.skip("no goldens of panoptic_eval; set SEGTUNE_GOLDENS")
    for case in cases:
        truth, preds, expected = (
            json.loads((case / f"{name}.json").read_text()) for name in ("gt", "pred", "expected")
        )
        class_of = {c["id"]: k for k, c in enumerate(truth["categories"])}
        kinds = ("stuff", "thing")
        vocabulary = Vocabulary(
            tuple(Concept(c["name"], kind=kinds[c["isthing"]]) for c in truth["categories"])
        )
        evaluator = PanopticEvaluator(vocabulary)
        pred_of = {entry["image_id"]: entry for entry in preds["annotations"]}
        for entry in truth["annotations"]:
            pred = pred_of[entry["image_id"]]
            pred_classes, truth_classes = (
                {s["id"]: class_of[s["category_id"]] for s in e["segments_info"]}
                for e in (pred, entry)
            )
            evaluator.update(
                read_segment_ids(case / "pred" / pred["file_name"]),
                pred_classes,
                read_segment_ids(case / "gt" / entry["file_name"]),
                truth_classes,
                crowd_ids=[s["id"] for s in entry["segments_info"] if s["iscrowd"]],
            )
        scores = evaluator.result()
        for name, kind in (("All", None), ("Things", "thing"), ("Stuff", "stuff")):
            quality, values = scores.average(kind=kind), expected[name]
            assert quality.num_classes == values["n"]
            for key in ("pq", "sq", "rq") if values["n"] else ():
                assert getattr(quality, key) == pytest.approx(values[key], abs=1e-9)
        for category, values in expected["per_class"].items():
            k = class_of[int(category)]
            for key in ("pq", "sq", "rq"):  # the reference gives 0 to a class that never occurs
                got = np.nan_to_num(getattr(scores, key)[k])
                assert got == pytest.approx(values[key], abs=1e-9)
