"""From the scores of a model to a `Segmentation` in the pixels of the original image.

`semantic` decides every pixel among all classes, `instances` and `panoptic` (Mask2Former's rules)
rank and paint masks. Sliding windows are in `ops.windows`, objects cut out of a label map in
`ops.segments`. All of it runs in float32 on the device of the scores.

Memory: full-size score maps of a large vocabulary do not fit (847 classes at 512 x 683 are 1.2 GB),
so `semantic` resizes a few classes at a time and keeps a running maximum. Three facts make this
exact: sigmoid and softmax do not change the order of the logits of a pixel; a shift of the seen
classes only matters between the best seen and the best other class; and a class that is beaten by
one rival in a whole neighbourhood of the feature grid cannot win after interpolation there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.errors import SegtuneError
from segtune.ops.resize import to_original
from segtune.ops.segments import crop_segment, segments_from_semantic
from segtune.types import IGNORE, Geometry, MaskPrediction, Segment, Segmentation, Vocabulary


class PixelLabels(NamedTuple):
    """A decision per pixel: `class_ids` (H, W) int64, and its `probs` (H, W) 0..1 if asked for."""

    class_ids: Tensor
    probs: Tensor | None


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
        prediction: dense (K + num_negatives, h, w) logits, or masks with class logits.
        vocabulary: K concepts.
        seen_ids: classes whose probability is lowered by `seen_shift` before they are compared,
            which calibrates models trained on them towards the others.
        num_negatives: trailing classes that compete, but whose pixels become `IGNORE`.
        chunk: classes that are resized at a time; changes memory and speed, never the result.
        with_segments: also cut the label map into scored segments, one per connected thing and
            one per stuff class.

    Example:
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
        return _label_from_masks(prediction, seen_ids, seen_shift)
    logits, geometry = prediction.pixel_logits.float(), prediction.geometry
    every = range(len(logits))
    seen = sorted(set(seen_ids) & set(every)) if seen_shift else []
    other = sorted(set(every) - set(seen))
    if not (with_probs or (seen and other)):
        return PixelLabels(_best_logit(logits, list(every), geometry, chunk)[1], None)
    softmax = prediction.pixel_scores == "softmax"
    resized = (to_original(part, geometry) for part in logits.split(chunk))
    normaliser = log_sum_exp(resized) if softmax else None

    def best_of(ids: list[int]) -> tuple[Tensor, Tensor]:
        score, winner = _best_logit(logits, ids, geometry, chunk)
        return (score.sigmoid() if normaliser is None else (score - normaliser).exp()), winner

    if not seen or not other:
        probs, ids = best_of(seen or other)
        return PixelLabels(ids, probs)
    (seen_probs, seen_best), (other_probs, other_best) = best_of(seen), best_of(other)
    shifted = seen_probs - seen_shift
    take = (other_probs > shifted) | ((other_probs == shifted) & (other_best < seen_best))
    return PixelLabels(
        torch.where(take, other_best, seen_best), torch.where(take, other_probs, seen_probs)
    )


def running_best(chunks: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Returns the largest score and its class id per pixel, (H, W) each; first class on a tie.

    Args:
        chunks: at least one pair of class ids (c,) and their scores (c, H, W), ascending ids.
    """
    best = winner = torch.empty(0)
    for ids, planes in chunks:
        if not best.numel():
            best = torch.full_like(planes[0], -torch.inf)
            winner = torch.full_like(best, int(ids[0]), dtype=torch.int64)
        # Plane by plane is three times as fast on a CPU as max(0) with indices.
        for class_id, plane in zip(ids.tolist(), planes, strict=True):
            winner.masked_fill_(plane > best, class_id)
            torch.maximum(best, plane, out=best)
    return best, winner


def log_sum_exp(chunks: Iterable[Tensor]) -> Tensor:
    """Returns log sum exp over all classes, (H, W), from chunks (c, H, W); at least one.

    Added class by class, so that the size of the chunks does not change the rounding.
    """
    total = torch.tensor(-torch.inf)
    for planes in chunks:
        for plane in planes:
            total = torch.logaddexp(total.to(plane.device), plane)
    return total


def instances(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    *,
    top: int = 100,
    min_score: float = 0.0,
    things_only: bool = False,
    num_negatives: int = 0,
    chunk: int = 16,
) -> Segmentation:
    """Returns the best (mask, class) pairs as scored segments, best first; masks may overlap.

    The score is the class probability times the mean mask probability inside the mask
    (Mask2Former, instance inference). Pairs with an empty mask are left out.

    Args:
        prediction: Q masks with (Q, K + num_negatives + 1) class logits.
        top: pairs that are kept; one query may answer with several classes.
        min_score: pairs with a lower final score are left out.
        things_only: keep only concepts of kind "thing"; the choice of the top pairs comes first.
        chunk: masks that are resized at a time.
    """
    class_probs = _class_probs_of(prediction, len(vocabulary), num_negatives)
    class_probs = class_probs[:, : len(vocabulary)]
    pair_scores, pairs = class_probs.flatten().topk(min(top, class_probs.numel()))
    by_query: dict[int, list[tuple[int, float]]] = {}
    for pair, score in zip(pairs.tolist(), pair_scores.tolist(), strict=True):
        query, class_id = divmod(pair, len(vocabulary))
        if not things_only or vocabulary.concepts[class_id].kind == "thing":
            by_query.setdefault(query, []).append((class_id, score))
    found: list[Segment] = []
    queries = list(by_query)
    for start in range(0, len(queries), chunk):
        part = queries[start : start + chunk]
        logits = _masks_at_original(prediction, part)
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
        prediction: Q masks with (Q, K + num_negatives + 1) class logits.
    """
    class_probs = _class_probs_of(prediction, len(vocabulary), num_negatives)
    size = prediction.geometry.original_size
    label_map = np.full(size, IGNORE, dtype=np.int32)
    scores, class_ids = class_probs.max(1)
    keep = (scores > min_score) & (class_ids < class_probs.shape[1] - 1)
    scores, class_ids = scores[keep], class_ids[keep]
    if not len(scores):
        return Segmentation(size, vocabulary, semantic=label_map)
    mask_probs = _masks_at_original(prediction, keep).sigmoid()
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


def _best_logit(
    logits: Tensor, ids: list[int], geometry: Geometry, chunk: int
) -> tuple[Tensor, Tensor]:
    """Returns the largest logit among the classes `ids` and its class id, (H, W) each."""
    index = torch.tensor(ids, device=logits.device)
    index = index[_contenders(logits[index], geometry)]
    return running_best((part, to_original(logits[part], geometry)) for part in index.split(chunk))


def _contenders(logits: Tensor, geometry: Geometry) -> Tensor:
    """Returns (K,) bool: the classes that can win a pixel after interpolation.

    An interpolated value is a weighted mean of grid values inside a 3 x 3 neighbourhood. In each of
    them the class with the largest minimum stays above every class whose maximum is lower.
    """
    grid = logits.shape[-2:]
    if len(logits) < 3 or any(s < g for s, g in zip(geometry.input_size, grid, strict=True)):
        return torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    highest = F.max_pool2d(logits[None], 3, stride=1, padding=1)[0]
    lowest = -F.max_pool2d(-logits[None], 3, stride=1, padding=1)[0]
    rounding = 1e-5 * logits.abs().max()
    return (highest >= lowest.amax(0) - rounding).flatten(1).any(1)


def _label_from_masks(
    prediction: MaskPrediction, seen_ids: Sequence[int], seen_shift: float
) -> PixelLabels:
    """Returns the best class by class probability times mask probability, summed over queries."""
    class_probs = _class_probs(prediction)[:, :-1]
    mask_probs = _masks_at_original(prediction, slice(None)).sigmoid()
    shift = torch.zeros(class_probs.shape[1], 1, device=class_probs.device)
    shift[[i for i in seen_ids if i < len(shift)]] = seen_shift
    ids, probs = [], []
    for pixels in mask_probs.flatten(1).split(_PIXELS_AT_A_TIME, dim=1):
        scores = class_probs.T @ pixels  # (K, P)
        best = (scores - shift).argmax(0)
        ids.append(best)
        probs.append(scores.gather(0, best[None])[0].clamp(max=1))
    size = mask_probs.shape[1:]
    return PixelLabels(torch.cat(ids).view(size), torch.cat(probs).view(size))


_PIXELS_AT_A_TIME = 1 << 15
"""Pixels whose class scores are formed at once; bounds memory at K * 128 KiB."""


def _class_probs_of(prediction: MaskPrediction, num_classes: int, num_negatives: int) -> Tensor:
    """Returns (Q, K + num_negatives + 1) class probabilities, after checking their number."""
    if prediction.class_logits is None:
        raise SegtuneError(
            "this model scores pixels, not masks; use semantic(..., with_segments=True)"
        )
    _check_classes(prediction, num_classes + num_negatives)
    return _class_probs(prediction)


def _class_probs(prediction: MaskPrediction) -> Tensor:
    """Returns (Q, K + 1) class probabilities; what a query may not answer counts as no object."""
    assert prediction.class_logits is not None
    probs = prediction.class_logits.float().softmax(-1)
    if prediction.answers is None:
        return probs
    allowed = probs[:, :-1] * prediction.answers
    return torch.cat([allowed, 1 - allowed.sum(1, keepdim=True)], 1)


def _masks_at_original(prediction: MaskPrediction, queries: slice | list[int] | Tensor) -> Tensor:
    """Returns mask logits (q, H, W) of some queries on the original image."""
    assert prediction.mask_logits is not None
    return to_original(
        prediction.mask_logits[queries], prediction.geometry, last_step=prediction.mask_resize
    )


def _check_classes(prediction: MaskPrediction, expected: int) -> None:
    """Raises where the scores are not over `expected` classes."""
    if prediction.pixel_logits is not None:
        given = prediction.pixel_logits.shape[0]
    else:
        assert prediction.class_logits is not None
        given = prediction.class_logits.shape[1] - 1
    if given != expected:
        raise SegtuneError(
            f"the model scored {given} classes but the vocabulary, negatives included, has "
            f"{expected}; pass the vocabulary that the model was given, and its num_negatives"
        )
