from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segtune.errors import SegtuneError
from segtune.ops.postprocess import instances, label_pixels, panoptic, semantic
from segtune.ops.resize import to_original
from segtune.types import (
    IGNORE,
    Concept,
    DecidePixels,
    Geometry,
    MaskPrediction,
    SumAtOriginal,
    Vocabulary,
)
from tests.goldens import close, goldens

PADDED = Geometry(original_size=(29, 41), resized_size=(22, 31), input_size=(24, 32))


def words(count: int) -> Vocabulary:
    return Vocabulary.of(*(f"class {i}" for i in range(count)))


def smooth(count: int, *, seed: int = 0, grid: tuple[int, int] = (6, 8)) -> torch.Tensor:
    """Returns (count, h, w) logits that vary slowly over the image, as real ones do."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, count, 3, 4, generator=generator)
    offset = torch.randn(count, 1, 1, generator=generator)
    return F.interpolate(coarse, grid, mode="bicubic")[0] + offset


def plain_resize(logits: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    def resize(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return F.interpolate(planes[None], size, mode="bilinear", align_corners=False)[0]

    height, width = geometry.resized_size
    on_input = resize(logits, geometry.input_size)[:, :height, :width]
    return resize(on_input, geometry.original_size)


@pytest.mark.parametrize("pixel_scores", ["sigmoid", "softmax"])
@pytest.mark.parametrize("chunk", [1, 3, 16, 1000])
@pytest.mark.parametrize("seen", [(), (0, 2, 5), tuple(range(40))])
def test_dense_equals_the_plain_way(pixel_scores: str, chunk: int, seen: tuple[int, ...]) -> None:
    logits = smooth(40)
    prediction = MaskPrediction(PADDED, pixel_logits=logits, decision=DecidePixels(pixel_scores))
    full = plain_resize(logits.double(), PADDED)
    probs = full.sigmoid() if pixel_scores == "sigmoid" else full.softmax(0)
    shifted = probs.clone()
    shifted[list(seen)] -= 0.1
    expected = shifted.argmax(0)
    result = semantic(prediction, words(40), seen_ids=seen, chunk=chunk)
    assert result.size == PADDED.original_size
    assert result.semantic.dtype == np.int32
    np.testing.assert_array_equal(result.semantic, expected.numpy())
    labels = label_pixels(prediction, seen_ids=seen, chunk=chunk, with_probs=True)
    won = probs.gather(0, expected[None])[0]
    torch.testing.assert_close(labels.probs.double(), won, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pixel_scores", ["sigmoid", "softmax"])
def test_chunks_never_change_a_bit(pixel_scores: str) -> None:
    logits = smooth(30, seed=1)
    prediction = MaskPrediction(PADDED, pixel_logits=logits, decision=DecidePixels(pixel_scores))
    one = label_pixels(prediction, seen_ids=(1, 4), chunk=30, with_probs=True)
    for chunk in (1, 7, 16):
        other = label_pixels(prediction, seen_ids=(1, 4), chunk=chunk, with_probs=True)
        assert torch.equal(one.class_ids, other.class_ids)
        assert torch.equal(one.probs, other.probs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((64, 48), (64, 48), (64, 64)),
        Geometry((13, 9), (60, 44), (64, 64)),
        Geometry((100, 120), (7, 9), (8, 9)),
        Geometry((30, 30), (4, 4), (4, 4)),
    ],
)
def test_dropping_beaten_classes_is_exact(seed: int, geometry: Geometry) -> None:
    logits = smooth(60, seed=seed)
    prediction = MaskPrediction(geometry, pixel_logits=logits)
    expected = plain_resize(logits, geometry).argmax(0)
    np.testing.assert_array_equal(semantic(prediction, words(60)).semantic, expected.numpy())


def test_first_class_wins_a_tie_and_half_precision_is_decided_in_float32() -> None:
    logits = torch.zeros(5, 2, 2, dtype=torch.float16)
    prediction = MaskPrediction(Geometry((4, 4), (2, 2), (2, 2)), pixel_logits=logits)
    assert not semantic(prediction, words(5), chunk=2).semantic.any()
    labels = label_pixels(prediction, with_probs=True)
    assert labels.probs.dtype == torch.float32


def test_negatives_compete_but_do_not_answer() -> None:
    logits = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]], [[1.0, 2.0]]])
    prediction = MaskPrediction(Geometry((1, 2), (1, 2), (1, 2)), pixel_logits=logits)
    assert semantic(prediction, words(2), num_negatives=1).semantic.tolist() == [[0, IGNORE]]
    with pytest.raises(SegtuneError, match="scored 3 classes but the vocabulary"):
        semantic(prediction, words(2))
    with pytest.raises(SegtuneError, match="chunk is 0"):
        semantic(prediction, words(3), chunk=0)


def test_one_class_and_one_pixel() -> None:
    geometry = Geometry((3, 5), (1, 1), (1, 1))
    prediction = MaskPrediction(geometry, pixel_logits=torch.tensor([[[-9.0]]]))
    result = semantic(prediction, words(1), with_segments=True)
    assert result.semantic.tolist() == [[0] * 5] * 3
    assert result.segments[0].score == 1
    assert result.segments[0].box_px == (0, 0, 5, 3)


def mask_prediction(*, queries: int = 9, classes: int = 12, seed: int = 3) -> MaskPrediction:
    generator = torch.Generator().manual_seed(seed)
    return MaskPrediction(
        PADDED,
        mask_logits=4 * smooth(queries, seed=seed),
        class_logits=3 * torch.randn(queries, classes + 1, generator=generator),
    )


@pytest.mark.parametrize("seen", [(), (0, 3, 4)])
def test_mask_based_semantic_equals_the_plain_way(seen: tuple[int, ...]) -> None:
    prediction = mask_prediction()
    class_probs = prediction.class_logits.double().softmax(-1)[:, :-1]
    masks = plain_resize(prediction.mask_logits.double(), PADDED).sigmoid()
    scores = torch.einsum("qk,qhw->khw", class_probs, masks)
    scores[list(seen)] -= 0.1
    result = semantic(prediction, words(12), seen_ids=seen)
    np.testing.assert_array_equal(result.semantic, scores.argmax(0).numpy())
    with_negatives = semantic(prediction, words(8), seen_ids=seen, num_negatives=4)
    expected = np.where(result.semantic < 8, result.semantic, IGNORE)
    np.testing.assert_array_equal(with_negatives.semantic, expected)


def slow_instances(prediction: MaskPrediction, top: int) -> list[tuple[int, float, np.ndarray]]:
    class_probs = prediction.class_logits.softmax(-1)[:, :-1]
    pairs = sorted(
        ((float(p), q, k) for q, row in enumerate(class_probs) for k, p in enumerate(row)),
        reverse=True,
    )[:top]
    logits = plain_resize(prediction.mask_logits, prediction.geometry)
    found = []
    for score, query, class_id in pairs:
        mask = logits[query] > 0
        if mask.any():
            quality = float(logits[query].sigmoid()[mask].mean())
            found.append((class_id, score * quality, mask.numpy()))
    return sorted(found, key=lambda item: -item[1])


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_instances_equal_a_loop_over_pairs(chunk: int) -> None:
    prediction = mask_prediction()
    result = instances(prediction, words(12), top=20, chunk=chunk)
    expected = slow_instances(prediction, 20)
    assert result.semantic is None
    assert len(result.segments) == len(expected)
    for segment, (class_id, score, mask) in zip(result.segments, expected, strict=True):
        assert segment.class_id == class_id
        assert segment.score == pytest.approx(score, rel=1e-4)
        np.testing.assert_array_equal(segment.full_mask(result.size), mask)


def test_instances_filters() -> None:
    prediction = mask_prediction()
    concepts = tuple(Concept(f"class {i}", kind="thing" if i % 2 else "stuff") for i in range(12))
    everything = instances(prediction, Vocabulary(concepts)).segments
    things = instances(prediction, Vocabulary(concepts), things_only=True).segments
    assert [s.class_id for s in things] == [s.class_id for s in everything if s.class_id % 2]
    confident = instances(prediction, Vocabulary(concepts), min_score=0.3).segments
    assert len(confident) == sum(s.score >= 0.3 for s in everything)
    named = instances(prediction, words(8), num_negatives=4).segments
    assert {s.class_id for s in named} <= set(range(8))
    nothing = MaskPrediction(
        PADDED, mask_logits=torch.full((3, 6, 8), -5.0), class_logits=torch.zeros(3, 3)
    )
    assert instances(nothing, words(2)).segments == ()


@pytest.mark.parametrize("things_only", [False, True])
def test_masks_that_answer_once_each(things_only: bool) -> None:
    prediction = mask_prediction()
    kinds = ["thing" if i % 2 else "stuff" for i in range(12)]
    vocabulary = Vocabulary(tuple(Concept(f"class {i}", kind=k) for i, k in enumerate(kinds)))
    found = instances(prediction, vocabulary, once_each=True, things_only=things_only).segments
    best: dict[int, tuple[int, float]] = {}
    for query, row in enumerate(prediction.class_logits.softmax(-1)[:, :-1].tolist()):
        allowed = [k for k in range(12) if kinds[k] == "thing" or not things_only]
        best[query] = max(((k, row[k]) for k in allowed), key=lambda pair: pair[1])
    expected = []
    for query, logits in enumerate(plain_resize(prediction.mask_logits, prediction.geometry)):
        mask = logits > 0
        if mask.any():
            class_id, score = best[query]
            expected.append((class_id, score * float(logits.sigmoid()[mask].mean())))
    expected.sort(key=lambda pair: -pair[1])
    assert [s.class_id for s in found] == [class_id for class_id, _ in expected]
    assert [s.score for s in found] == pytest.approx([s for _, s in expected], rel=1e-4)
    # Other names of a mask take no place of the top.
    few = instances(prediction, vocabulary, once_each=True, things_only=things_only, top=3)
    assert len(few.segments) == 3


def blocks(*columns: slice) -> torch.Tensor:
    """Returns (Q, 4, 8) logits that are high in the given columns only."""
    logits = torch.full((len(columns), 4, 8), -10.0)
    for plane, part in zip(logits, columns, strict=True):
        plane[:, part] = 10.0
    return logits


def confident(*class_ids: int, columns: int, certainty: float = 10.0) -> torch.Tensor:
    """Returns (Q, columns) logits that are sure of one class each."""
    return certainty * F.one_hot(torch.tensor(class_ids), columns).float()


def test_panoptic_paints_joins_and_drops() -> None:
    geometry = Geometry((4, 8), (4, 8), (4, 8))
    vocabulary = Vocabulary((Concept("car"), Concept("sky", kind="stuff"), Concept("tree")))
    # Two cars, sky in two pieces, a tree mostly hidden by the first car, and a "no object".
    prediction = MaskPrediction(
        geometry,
        mask_logits=blocks(
            slice(0, 2), slice(2, 3), slice(3, 5), slice(6, 7), slice(0, 2), slice(7, 8)
        ),
        class_logits=confident(0, 0, 1, 1, 2, 3, columns=4)
        - torch.tensor([0, 0, 0, 0, 1.0, 0])[:, None] * F.one_hot(torch.tensor(2), 4),
    )
    result = panoptic(prediction, vocabulary)
    assert result.semantic[0].tolist() == [0, 0, 0, 1, 1, IGNORE, 1, IGNORE]
    assert sorted((s.class_id, s.box_px) for s in result.segments) == [
        (0, (0, 0, 2, 4)),
        (0, (2, 0, 3, 4)),
        (1, (3, 0, 7, 4)),
    ]
    sky = next(s for s in result.segments if s.class_id == 1)
    assert sky.mask.sum() == 12


def test_panoptic_negatives_hide_what_they_win_and_nothing_confident_is_empty() -> None:
    geometry = Geometry((4, 8), (4, 8), (4, 8))
    prediction = MaskPrediction(
        geometry,
        mask_logits=blocks(slice(0, 4), slice(4, 8)),
        class_logits=confident(0, 1, columns=3),
    )
    result = panoptic(prediction, words(1), num_negatives=1)
    assert result.semantic[0].tolist() == [0] * 4 + [IGNORE] * 4
    assert len(result.segments) == 1
    unsure = MaskPrediction(
        geometry, mask_logits=blocks(slice(0, 4)), class_logits=torch.zeros(1, 3)
    )
    assert panoptic(unsure, words(2)).segments == ()
    assert (panoptic(unsure, words(2)).semantic == IGNORE).all()


@pytest.mark.parametrize("task", [semantic, instances, panoptic])
def test_masks_are_resized_as_the_prediction_says(task) -> None:
    given = mask_prediction()
    smoothed = replace(given, decision=SumAtOriginal("bicubic"))
    at_original = to_original(given.mask_logits, PADDED, last_step="bicubic")
    size = PADDED.original_size
    expected = replace(given, geometry=Geometry(size, size, size), mask_logits=at_original)
    options = {"min_score": 0.1, "overlap": 0.1} if task is panoptic else {}
    found, wanted = (task(part, words(12), **options) for part in (smoothed, expected))
    assert [(s.class_id, s.box_px) for s in found.segments] == [
        (s.class_id, s.box_px) for s in wanted.segments
    ]
    if task is not instances:
        np.testing.assert_array_equal(found.semantic, wanted.semantic)


@pytest.mark.parametrize("task", [semantic, instances, panoptic])
def test_queries_answer_only_what_they_may(task) -> None:
    given = mask_prediction()
    answers = torch.zeros(9, 12, dtype=torch.bool)
    answers[:5, :6] = True
    answers[5:, 6:] = True
    probs = given.class_logits.softmax(-1)
    allowed = probs[:, :-1] * answers
    void = 1 - allowed.sum(1, keepdim=True)
    expected = replace(given, class_logits=torch.cat([allowed, void], 1).log())
    options = {"min_score": 0.1, "overlap": 0.1} if task is panoptic else {}
    found = task(replace(given, decision=SumAtOriginal(answers=answers)), words(12), **options)
    wanted = task(expected, words(12), **options)
    assert [s.class_id for s in found.segments] == [s.class_id for s in wanted.segments]
    if task is not instances:
        np.testing.assert_array_equal(found.semantic, wanted.semantic)
    everything = task(
        replace(given, decision=SumAtOriginal(answers=torch.ones_like(answers))),
        words(12),
        **options,
    )
    plain = task(given, words(12), **options)
    assert [s.class_id for s in everything.segments] == [s.class_id for s in plain.segments]


@pytest.mark.parametrize("task", [instances, panoptic])
def test_mask_tasks_refuse_dense_scores(task) -> None:
    with pytest.raises(SegtuneError, match="with_segments=True"):
        task(MaskPrediction(PADDED, pixel_logits=smooth(3)), words(3))


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("pixel_scores", ["sigmoid", "softmax"])
def test_answers_are_those_of_the_cpu(pixel_scores: str) -> None:
    device = torch.accelerator.current_accelerator()
    logits = smooth(40)
    for seen in ((), (0, 2, 5)):
        here, there = (
            semantic(
                MaskPrediction(
                    PADDED, pixel_logits=logits.to(place), decision=DecidePixels(pixel_scores)
                ),
                words(38),
                seen_ids=seen,
                num_negatives=2,
                with_segments=True,
            )
            for place in ("cpu", device)
        )
        assert (here.semantic == there.semantic).mean() > 0.999
    masks = mask_prediction()
    moved = MaskPrediction(
        PADDED,
        mask_logits=masks.mask_logits.to(device),
        class_logits=masks.class_logits.to(device),
    )
    for task in (semantic, instances, panoptic):
        here, there = task(masks, words(12)), task(moved, words(12))
        assert [s.class_id for s in here.segments] == [s.class_id for s in there.segments]


@pytest.mark.golden
def test_decisions_are_those_of_fc_clip() -> None:
    """All three of its inference functions, which the evaluation of Uni-OVSeg follows."""
    for golden in goldens("uniovseg_classified_inference"):
        sizes, out = golden.config, golden.part("outputs")
        size = (sizes["H"], sizes["W"])
        vocabulary = Vocabulary(
            tuple(
                Concept(f"class {i}", kind="thing" if i in sizes["things"] else "stuff")
                for i in range(sizes["C"])
            )
        )
        prediction = MaskPrediction(
            Geometry(size, size, size),
            mask_logits=golden["inputs.mask_logits"],
            class_logits=golden["inputs.mask_cls_logits"],
        )
        labels = label_pixels(prediction).class_ids
        assert torch.equal(labels, out["semantic_scores"].argmax(0))

        whole = panoptic(
            prediction, vocabulary, min_score=sizes["object_thr"], overlap=sizes["overlap_thr"]
        )
        expected = torch.full(size, -1)
        for segment_id, _, class_id in out["segments_id_isthing_category"].tolist():
            expected[out["panoptic_map"] == segment_id] = class_id
        assert np.array_equal(whole.semantic, expected.numpy())
        assert len(whole.segments) == len(out["segments_id_isthing_category"])

        found = instances(prediction, vocabulary, top=sizes["topk"], things_only=True)
        assert [segment.class_id for segment in found.segments] == out["instance_classes"].tolist()
        close(torch.tensor([segment.score for segment in found.segments]), out["instance_scores"])
        for segment, mask in zip(found.segments, out["instance_masks"], strict=True):
            assert np.array_equal(segment.full_mask(size), mask.bool().numpy())
