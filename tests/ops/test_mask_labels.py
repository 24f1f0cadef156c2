from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segtune.errors import SegtuneError
from segtune.ops.mask_labels import class_probs, label_from_masks
from segtune.ops.postprocess import instances, label_pixels, panoptic, semantic
from segtune.types import (
    IGNORE,
    Concept,
    Geometry,
    MaskPrediction,
    SumAtOriginal,
    SumAtResized,
    Vocabulary,
)

PADDED = Geometry(original_size=(45, 61), resized_size=(22, 31), input_size=(24, 32))
SHRUNK = Geometry(original_size=(11, 15), resized_size=(22, 31), input_size=(24, 32))
SAME = Geometry(original_size=(22, 31), resized_size=(22, 31), input_size=(24, 32))


def words(count: int) -> Vocabulary:
    return Vocabulary.of(*(f"class {i}" for i in range(count)))


def scored_masks(
    geometry: Geometry = PADDED, *, queries: int = 9, classes: int = 40, seed: int = 3
) -> MaskPrediction:
    generator = torch.Generator().manual_seed(seed)
    coarse = 4 * torch.randn(1, queries, 3, 4, generator=generator)
    return MaskPrediction(
        geometry,
        mask_logits=F.interpolate(coarse, (6, 8), mode="bicubic")[0],
        class_scores=torch.rand(queries, classes, generator=generator),
        decision=SumAtResized(),
    )


def slow_maps(prediction: MaskPrediction) -> torch.Tensor:
    """All K maps at the original size, the official way, in double precision."""
    geometry = prediction.geometry
    height, width = geometry.resized_size
    logits = prediction.mask_logits.double()[None]
    masks = F.interpolate(logits, geometry.input_size, mode="bilinear", align_corners=False)
    masks = masks[0, :, :height, :width].sigmoid()
    maps = torch.einsum("qk,qhw->khw", prediction.class_scores.double(), masks)
    size = geometry.original_size
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("geometry", [PADDED, SHRUNK, SAME])
@pytest.mark.parametrize("seen", [(), (0, 2, 5), tuple(range(40))])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_sums_at_the_resized_image_equal_the_plain_way(geometry, seen, chunk) -> None:
    prediction = scored_masks(geometry)
    maps = slow_maps(prediction)
    shifted = maps.clone()
    shifted[list(seen)] -= 0.1
    labels = label_from_masks(prediction, seen_ids=seen, chunk=chunk)
    np.testing.assert_array_equal(labels.class_ids, shifted.argmax(0))
    won = maps.gather(0, labels.class_ids[None])[0].clamp(max=1)
    torch.testing.assert_close(labels.probs.double(), won, atol=1e-5, rtol=1e-5)


def test_chunks_never_change_a_label() -> None:
    for seed in range(5):
        prediction = scored_masks(seed=seed)
        full = label_from_masks(prediction, seen_ids=(1, 4), chunk=40)
        for chunk in (1, 3, 16):
            part = label_from_masks(prediction, seen_ids=(1, 4), chunk=chunk)
            assert torch.equal(part.class_ids, full.class_ids)
            torch.testing.assert_close(part.probs, full.probs, atol=1e-6, rtol=1e-6)


def test_where_masks_are_summed_matters_and_class_scores_work_at_both() -> None:
    prediction = scored_masks()
    resized = semantic(prediction, words(40)).semantic
    original = semantic(replace(prediction, decision=SumAtOriginal()), words(40)).semantic
    assert 0.9 < (resized == original).mean() < 1
    same = replace(prediction, geometry=SAME)
    np.testing.assert_array_equal(
        semantic(same, words(40)).semantic,
        semantic(replace(same, decision=SumAtOriginal()), words(40)).semantic,
    )


def test_class_logits_at_the_resized_image_are_their_probabilities() -> None:
    prediction = scored_masks()
    logits = torch.randn(9, 41, generator=torch.Generator().manual_seed(0))
    by_logits = replace(prediction, class_scores=None, class_logits=logits)
    by_scores = replace(prediction, class_scores=logits.softmax(1)[:, :-1])
    assert torch.equal(label_from_masks(by_logits).class_ids, label_from_masks(by_scores).class_ids)


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest tensor that is made holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


def test_memory_is_bounded_by_the_chunk_not_by_the_vocabulary() -> None:
    largest = {}
    for classes in (50, 800):
        with LargestTensor() as largest[classes]:
            label_from_masks(scored_masks(classes=classes), chunk=8)
    assert largest[50].numel == largest[800].numel  # (9, 22, 31) masks or (8, 45, 61) sums
    with LargestTensor() as whole:
        label_from_masks(scored_masks(classes=800), chunk=800)
    assert whole.numel == 800 * 45 * 61


def test_masks_without_a_score_are_not_looked_at() -> None:
    prediction = scored_masks()
    kept = torch.tensor([0, 3, 4])
    dropped = prediction.class_scores.clone()
    dropped[[i for i in range(9) if i not in kept]] = 0
    fewer = replace(
        prediction,
        mask_logits=prediction.mask_logits[kept],
        class_scores=prediction.class_scores[kept],
    )
    zeros = label_from_masks(replace(prediction, class_scores=dropped))
    assert torch.equal(zeros.class_ids, label_from_masks(fewer).class_ids)


@pytest.mark.parametrize("rule", [SumAtResized(), SumAtOriginal()])
@pytest.mark.parametrize("seen", [(), (0, 7)])
def test_pixels_that_no_mask_votes_for_have_no_class(rule, seen) -> None:
    prediction = replace(scored_masks(), class_scores=torch.zeros(9, 40), decision=rule)
    nothing = label_from_masks(prediction, seen_ids=seen)
    assert (nothing.class_ids == 40).all()
    assert not nothing.probs.any()
    assert (semantic(prediction, words(40), seen_ids=seen).semantic == IGNORE).all()


def test_masks_can_be_cut_before_they_are_summed() -> None:
    prediction = replace(scored_masks(SAME), decision=SumAtResized(threshold=0.35))
    masks = F.interpolate(prediction.mask_logits[None], SAME.input_size, mode="bilinear")
    cut = (masks[0, :, :22, :31].sigmoid() > 0.35).float()
    maps = torch.einsum("qk,qhw->khw", prediction.class_scores, cut)
    labels = label_from_masks(prediction)
    torch.testing.assert_close(labels.probs, maps.amax(0).clamp(max=1), atol=1e-5, rtol=1e-5)
    assert torch.equal(labels.class_ids == 40, maps.amax(0) == 0)


def test_no_masks_at_all() -> None:
    prediction = MaskPrediction(
        PADDED,
        mask_logits=torch.zeros(0, 6, 8),
        class_scores=torch.zeros(0, 3),
        decision=SumAtResized(),
    )
    assert label_pixels(prediction).class_ids.shape == (45, 61)
    assert not instances(prediction, words(3)).segments
    assert not panoptic(prediction, words(3)).segments


def test_instances_and_panoptic_take_class_scores_as_they_are() -> None:
    logits = torch.full((2, 6, 8), -9.0)
    logits[0, :, :4], logits[1, :, 4:] = 9.0, 9.0
    scores = torch.tensor([[0.9, 0.2, 0.0], [0.1, 0.3, 0.95]])
    geometry = Geometry((24, 32), (24, 32), (24, 32))
    prediction = MaskPrediction(
        geometry, mask_logits=logits, class_scores=scores, decision=SumAtResized()
    )
    concepts = (Concept("a"), Concept("b"), Concept("c", kind="stuff"))
    found = instances(prediction, Vocabulary(concepts), top=3)
    assert [s.class_id for s in found.segments] == [2, 0, 1]
    assert [s.score for s in found.segments] == pytest.approx([0.95, 0.9, 0.3], abs=0.02)
    painted = panoptic(prediction, Vocabulary(concepts))
    assert [(s.class_id, round(s.score, 2)) for s in painted.segments] == [(2, 0.95), (0, 0.9)]
    assert (painted.semantic[:, :14] == 0).all()
    assert (painted.semantic[:, 18:] == 2).all()
    with_negative = panoptic(prediction, Vocabulary(concepts[:2]), num_negatives=1)
    assert [s.class_id for s in with_negative.segments] == [0]


def test_answers_silence_scores() -> None:
    prediction = scored_masks(classes=3)
    answers = torch.ones(9, 3, dtype=torch.bool)
    answers[:, 1] = False
    silenced = replace(prediction, decision=SumAtOriginal(answers=answers))
    assert not class_probs(silenced)[:, 1].any()
    assert not (semantic(silenced, words(3)).semantic == 1).any()


def test_a_wrong_number_of_classes_is_told() -> None:
    with pytest.raises(SegtuneError, match="scored 40 classes but the vocabulary"):
        semantic(scored_masks(), words(39))
    dense = MaskPrediction(PADDED, pixel_logits=torch.zeros(3, 6, 8))
    with pytest.raises(SegtuneError, match="scores pixels, not masks"):
        panoptic(dense, words(3))
