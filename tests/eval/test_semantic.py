from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from segtune.errors import DataError, SegtuneError
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import IGNORE, Concept, Vocabulary
from tests.goldens import golden_files


def vocabulary(num_classes: int, *, seen: tuple[int, ...] = ()) -> Vocabulary:
    def group(i: int) -> str | None:
        return None if not seen else "seen" if i in seen else "unseen"

    return Vocabulary(tuple(Concept(f"class {i}", group=group(i)) for i in range(num_classes)))


def slow_counts(pred: np.ndarray, target: np.ndarray, num_classes: int) -> np.ndarray:
    counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    for p, t in zip(pred.ravel().tolist(), target.ravel().tolist(), strict=True):
        if t != IGNORE:
            counts[t, p if p != IGNORE else num_classes] += 1
    return counts


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("num_classes", [1, 7, 100])
def test_update_equals_a_loop_over_pixels(dtype: type, num_classes: int) -> None:
    rng = np.random.default_rng(0)
    pred, target = rng.integers(-1, num_classes, (2, 3, 10, 11)).astype(dtype)
    matrix = ConfusionMatrix(num_classes)
    matrix.update(pred, target)
    matrix.update(torch.from_numpy(pred), torch.from_numpy(target))
    np.testing.assert_array_equal(matrix.counts, 2 * slow_counts(pred, target, num_classes))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, ">i4"])
def test_update_takes_other_types_and_views(dtype: str) -> None:
    pred, target = np.random.default_rng(1).integers(0, 5, (2, 8, 9)).astype(dtype)
    pred, target = pred[::-1, ::2], target[::-1, ::2]
    target.flags.writeable = False
    matrix = ConfusionMatrix(5)
    matrix.update(pred, target)
    np.testing.assert_array_equal(matrix.counts, slow_counts(pred, target, 5))


def test_large_vocabularies_do_not_overflow() -> None:
    matrix = ConfusionMatrix(300)
    matrix.update(np.array([299, 298], dtype=np.int16), np.array([299, 299], dtype=np.int16))
    assert matrix.counts[299, 299] == 1
    assert matrix.counts[299, 298] == 1
    assert matrix.counts.sum() == 2


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        (np.array([0]), np.array([0, 1]), "resize the prediction"),
        (np.array([2]), np.array([0]), "prediction holds class ids 2..2"),
        (np.array([0]), np.array([255]), "truth holds class ids 255..255"),
        (np.array([0]), np.array([-2]), "truth holds class ids -2"),
        (np.array([0.0]), np.array([0]), "expected integers"),
        (torch.tensor([0.0]), torch.tensor([0]), "expected integers"),
    ],
)
def test_bad_input_is_one_clear_line(pred: object, target: object, message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        ConfusionMatrix(2).update(pred, target)


def test_scores_by_hand() -> None:
    # truth 0 0 0 1 1 2 -, prediction 0 0 1 1 none 1 0
    matrix = ConfusionMatrix(5)
    matrix.update(np.array([0, 0, 1, 1, -1, 3, 0]), np.array([0, 0, 0, 1, 1, 2, -1]))
    scores = matrix.scores(vocabulary(5, seen=(0, 1)))
    nan = math.nan
    np.testing.assert_allclose(scores.iou, [2 / 3, 1 / 3, 0, 0, nan])
    np.testing.assert_allclose(scores.accuracy, [2 / 3, 1 / 2, 0, nan, nan])
    assert scores.pixel_accuracy == pytest.approx(3 / 6)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 3) / 4)
    assert scores.frequency_weighted_iou == pytest.approx((3 * 2 / 3 + 2 / 3) / 6)
    assert scores.seen_iou == pytest.approx(0.5)
    assert scores.unseen_iou == 0
    assert scores.harmonic_iou == 0
    assert list(scores.summary()) == ["mIoU", "hIoU", "mIoU(S)", "mIoU(U)", "pAcc", "mAcc", "fwIoU"]


def test_nothing_seen_gives_nan_without_warnings() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.zeros((0, 4), dtype=np.int32), np.zeros((0, 4), dtype=np.int32))
    matrix.update(np.array([1]), np.array([IGNORE]))
    summary = matrix.scores(vocabulary(3, seen=(0,))).summary()
    assert all(math.isnan(value) for value in summary.values())


def test_groups_are_free() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 1, 1]), np.array([0, 1, 2]))
    scores = matrix.scores(vocabulary(3), groups={"rare": [1, 2], "none": []})
    assert scores.groups["rare"].mean_iou == pytest.approx(0.25)
    assert math.isnan(scores.groups["none"].mean_iou)
    assert scores.summary()["mIoU(rare)"] == pytest.approx(0.25)


def test_merge_and_save_equal_one_pass(tmp_path) -> None:
    rng = np.random.default_rng(2)
    pairs = rng.integers(-1, 4, (3, 2, 50))
    whole, left, right = ConfusionMatrix(4), ConfusionMatrix(4), ConfusionMatrix(4)
    for pred, target in pairs:
        whole.update(pred, target)
    left.update(*pairs[0])
    for pred, target in pairs[1:]:
        right.update(pred, target)
    left.save(tmp_path / "part.npz")
    right.merge(ConfusionMatrix.load(tmp_path / "part.npz"))
    np.testing.assert_array_equal(right.counts, whole.counts)
    with pytest.raises(SegtuneError, match="cannot add"):
        whole.merge(ConfusionMatrix(5))


def test_load_refuses_other_files(tmp_path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    np.savez(tmp_path / "shape.npz", counts=np.zeros((3, 3), dtype=np.int64))
    for name in ("text", "other", "shape"):
        with pytest.raises(DataError):
            ConfusionMatrix.load(tmp_path / f"{name}.npz")


def test_vocabulary_of_another_size_is_refused() -> None:
    with pytest.raises(SegtuneError, match="has 4 classes but the confusion matrix has 3"):
        ConfusionMatrix(3).scores(vocabulary(4))


@pytest.mark.golden
def test_official_generalized_scores() -> None:
    for path in golden_files("gzsl_metrics"):
        golden = load_file(path)
        expected = {
            key.removeprefix("out.generalized."): value
            for key, value in golden.items()
            if key.startswith("out.generalized.")
        }
        pred, target = (golden[key].astype(np.int32) for key in ("in.pred", "in.gt"))
        num_classes = len(expected["IoU_per_class"])
        seen = tuple(golden["in.seen_index"].tolist())
        matrix = ConfusionMatrix(num_classes)
        for image_pred, image_target in zip(pred, target, strict=True):
            matrix.update(image_pred, np.where(image_target == 255, IGNORE, image_target))
        official = golden["out.conf_matrix_pred_by_gt"][:num_classes, :num_classes].T
        np.testing.assert_array_equal(matrix.counts[:, :-1], official)

        scores = matrix.scores(vocabulary(num_classes, seen=seen))
        ours = {
            "mIoU": scores.mean_iou,
            "fwIoU": scores.frequency_weighted_iou,
            "mACC": scores.mean_accuracy,
            "pACC": scores.pixel_accuracy,
            "mIoU-base": scores.seen_iou,
            "mIoU-unbase": scores.unseen_iou,
            "pAcc-base": scores.groups["seen"].pixel_accuracy,
            "pAcc-unbase": scores.groups["unseen"].pixel_accuracy,
            "hIoU-base": scores.harmonic_iou,
        }
        assert ours.keys() == expected.keys() - {"IoU_per_class"}
        for name, value in ours.items():
            assert 100 * value == pytest.approx(float(expected[name]), abs=1e-9), (path.name, name)
        in_truth = scores.truth_pixels > 0
        per_class = expected["IoU_per_class"]
        np.testing.assert_array_equal(in_truth, ~np.isnan(per_class))
        np.testing.assert_allclose(100 * scores.iou[in_truth], per_class[in_truth], atol=1e-9)
        assert not scores.iou[~in_truth & (scores.predicted_pixels > 0)].any()
