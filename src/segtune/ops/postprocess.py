"""From the scores of a model to a `Segmentation` in the pixels of the original image.

`semantic` decides every pixel among all classes, from dense scores (`ops.pixel_labels`) or from
masks (`ops.mask_labels`); `instances` and `panoptic` (Mask2Former's rules) rank and paint masks.
Sliding windows are in `ops.windows`, objects cut out of a label map in `ops.segments`. All of it
runs in float32 on the device of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.mask_labels import class_probs, label_from_masks, masks_at_original
from segtune.ops.pixel_labels import PixelLabels, label_from_pixels
from segtune.ops.segments import crop_segment, segments_from_semantic
from segtune.types import IGNORE, MaskPrediction, Segment, Segmentation, Vocabulary


def semantic(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    *,
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    num_negatives: int = 0,
    chunk: int = 16,
    with_segments: bool = False,
) -> Segmentation:
    """Returns the best class of every pixel of the original image.

    Args:
        prediction: dense (K + num_negatives, h, w) logits, or masks with class logits or scores.
        vocabulary: K concepts.
        seen_ids: classes whose probability is lowered by `seen_shift` before they are compared,
            which calibrates models trained on them towards the others.
        num_negatives: trailing classes that compete, but whose pixels become `IGNORE`.
        chunk: classes that are resized (or summed over masks) at a time; changes memory and speed,
            never the result.
        with_segments: also cut the label map into scored segments, one per connected thing and
            one per stuff class.

    Example:
        >>> from segtune.types import Geometry
        >>> logits = torch.tensor([[[2.0, -1.0]], [[0.0, 1.0]]])
        >>> prediction = MaskPrediction(Geometry((1, 2), (1, 2), (1, 2)), pixel_logits=logits)
        >>> semantic(prediction, Vocabulary.of("sky", "sea")).semantic.tolist()
        [[0, 1]]
    """
    _check_classes(prediction, len(vocabulary) + num_negatives)
    labels = label_pixels(
        prediction,
        seen_ids=seen_ids,
        seen_shift=seen_shift,
        chunk=chunk,
        with_probs=with_segments,
    )
    return labels_to_segmentation(labels, vocabulary, with_segments=with_segments)


def labels_to_segmentation(
    labels: PixelLabels, vocabulary: Vocabulary, *, with_segments: bool = False
) -> Segmentation:
    """Returns the result for decided pixels; class ids beyond the vocabulary become `IGNORE`."""
    ids = labels.class_ids.masked_fill(labels.class_ids >= len(vocabulary), IGNORE)
    label_map = ids.to(torch.int32).cpu().numpy()
    segments: tuple[Segment, ...] = ()
    if with_segments:
        probs = None if labels.probs is None else labels.probs.cpu().numpy()
        segments = segments_from_semantic(label_map, vocabulary, probs=probs)
    height, width = label_map.shape
    return Segmentation((height, width), vocabulary, semantic=label_map, segments=segments)


def label_pixels(
    prediction: MaskPrediction,
    *,
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    chunk: int = 16,
    with_probs: bool = False,
) -> PixelLabels:
    """Returns the winning class of every pixel, negatives included.

    Args:
        with_probs: also the probability of the winner, before the shift.
    """
    if chunk < 1:
        raise SegtuneError(f"chunk is {chunk}; expected at least 1 class at a time")
    if prediction.pixel_logits is None:
        return label_from_masks(prediction, seen_ids=seen_ids, seen_shift=seen_shift, chunk=chunk)
    return label_from_pixels(
        prediction, seen_ids=seen_ids, seen_shift=seen_shift, chunk=chunk, with_probs=with_probs
    )


def instances(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    *,
    top: int = 100,
    min_score: float = 0.0,
    things_only: bool = False,
    once_each: bool = False,
    num_negatives: int = 0,
    chunk: int = 16,
) -> Segmentation:
    """Returns the best (mask, class) pairs as scored segments, best first; masks may overlap.

    The score is the class probability times the mean mask probability inside the mask
    (Mask2Former, instance inference). Pairs with an empty mask are left out.

    Args:
        prediction: Q masks with (Q, K + num_negatives + 1) class logits or (Q, K + num_negatives)
            class scores.
        top: pairs that are kept; one query may answer with several classes.
        min_score: pairs with a lower final score are left out.
        things_only: keep only concepts of kind "thing"; the choice of the top pairs comes first.
        once_each: a mask pairs with its likeliest class alone, a thing where only those are kept.
        chunk: masks that are resized at a time.
    """
    probs = _class_probs_of(prediction, len(vocabulary), num_negatives)
    probs = probs[:, : len(vocabulary)]
    if once_each:
        probs = _best_alone(probs, vocabulary, things_only=things_only)
    pair_scores, pairs = probs.flatten().topk(min(top, probs.numel()))
    by_query: dict[int, list[tuple[int, float]]] = {}
    for pair, score in zip(pairs.tolist(), pair_scores.tolist(), strict=True):
        query, class_id = divmod(pair, len(vocabulary))
        if not things_only or vocabulary.concepts[class_id].kind == "thing":
            by_query.setdefault(query, []).append((class_id, score))
    found: list[Segment] = []
    queries = list(by_query)
    for start in range(0, len(queries), chunk):
        part = queries[start : start + chunk]
        logits = masks_at_original(prediction, part)
        masks = logits > 0
        inside = (logits.sigmoid() * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
        for query, mask, quality in zip(part, masks.cpu().numpy(), inside.tolist(), strict=True):
            if not mask.any():
                continue
            for class_id, score in by_query[query]:
                if score > 0 and score * quality >= min_score:
                    found.append(crop_segment(mask, class_id, score * quality))
    found.sort(key=lambda segment: -segment.score)
    size = prediction.geometry.original_size
    return Segmentation(size, vocabulary, segments=tuple(found))


def panoptic(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    *,
    min_score: float = 0.8,
    overlap: float = 0.8,
    num_negatives: int = 0,
) -> Segmentation:
    """Returns segments that do not overlap, with the label map that they paint.

    Mask2Former's panoptic inference: queries whose best class reaches `min_score` compete for
    pixels by score times mask probability; a query that keeps less than `overlap` of its own mask
    is dropped; pieces of one stuff class are joined, with the best of their scores.

    Args:
        prediction: Q masks with (Q, K + num_negatives + 1) class logits or (Q, K + num_negatives)
            class scores.
    """
    probs = _class_probs_of(prediction, len(vocabulary), num_negatives)
    size = prediction.geometry.original_size
    label_map = np.full(size, IGNORE, dtype=np.int32)
    scores, class_ids = probs.max(1)
    keep = (scores > min_score) & (class_ids < probs.shape[1] - 1)
    scores, class_ids = scores[keep], class_ids[keep]
    if not len(scores):
        return Segmentation(size, vocabulary, semantic=label_map)
    mask_probs = masks_at_original(prediction, keep).sigmoid()
    owner = (scores[:, None, None] * mask_probs).argmax(0)
    things: list[Segment] = []
    stuff: dict[int, tuple[np.ndarray, float]] = {}
    for i, (class_id, score) in enumerate(zip(class_ids.tolist(), scores.tolist(), strict=True)):
        whole = mask_probs[i] >= 0.5
        mine = owner == i
        mask = (mine & whole).cpu().numpy()
        too_little = int(mine.sum()) < overlap * int(whole.sum())
        if class_id >= len(vocabulary) or not mask.any() or too_little:
            continue
        label_map[mask] = class_id
        if vocabulary.concepts[class_id].kind == "thing":
            things.append(crop_segment(mask, class_id, score))
        else:
            before, best = stuff.get(class_id, (np.zeros(size, dtype=bool), 0.0))
            stuff[class_id] = (before | mask, max(best, score))
    regions = [crop_segment(mask, class_id, score) for class_id, (mask, score) in stuff.items()]
    segments = sorted(things + regions, key=lambda segment: -segment.score)
    return Segmentation(size, vocabulary, semantic=label_map, segments=tuple(segments))


def _best_alone(probs: Tensor, vocabulary: Vocabulary, *, things_only: bool) -> Tensor:
    """Returns (Q, K) class probabilities with all but the best of each row set to 0."""
    kinds = torch.tensor([concept.kind == "thing" for concept in vocabulary], device=probs.device)
    allowed = probs * kinds if things_only else probs
    scores, class_ids = allowed.max(1, keepdim=True)
    return torch.zeros_like(probs).scatter_(1, class_ids, scores)


def _class_probs_of(prediction: MaskPrediction, num_classes: int, num_negatives: int) -> Tensor:
    """Returns (Q, K + num_negatives + 1) class probabilities, after checking their number."""
    probs = class_probs(prediction)
    _check_classes(prediction, num_classes + num_negatives)
    return probs


def _check_classes(prediction: MaskPrediction, expected: int) -> None:
    """Raises where the scores are not over `expected` classes."""
    if prediction.pixel_logits is not None:
        given = prediction.pixel_logits.shape[0]
    elif prediction.class_scores is not None:
        given = prediction.class_scores.shape[1]
    else:
        assert prediction.class_logits is not None
        given = prediction.class_logits.shape[1] - 1
    if given != expected:
        raise SegtuneError(
            f"the model scored {given} classes but the vocabulary, negatives included, has "
            f"{expected}; pass the vocabulary that the model was given, and its num_negatives"
        )
