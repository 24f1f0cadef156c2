"""The few images that a report shows: chosen by score, asked again, made small."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from segtune.errors import SegtuneError
from segtune.eval.result import Example
from segtune.ops.segments import crop_segment
from segtune.types import Dataset, Sample, Segmentation

Size = tuple[int, int]
Pictures = Callable[[Sample], tuple[Segmentation, Segmentation]]
"""Truth and answer of a sample."""


def ranked(image_scores: Mapping[str, float], wanted: int | Sequence[str]) -> dict[str, str]:
    """Returns sample id -> rank: `wanted` images from the worst to the best, or those named."""
    if isinstance(wanted, int):
        return _spread(image_scores, wanted)
    return dict.fromkeys(wanted, "chosen")


def _spread(image_scores: Mapping[str, float], count: int) -> dict[str, str]:
    """Returns sample id -> rank for `count` images evenly spread from the worst to the best."""
    known = [item for item in image_scores.items() if not math.isnan(item[1])]
    ordered = [sample_id for sample_id, _ in sorted(known, key=lambda item: (item[1], item[0]))]
    last = len(ordered) - 1
    if count < 1 or last < 0:
        return {}
    places = [0] if count == 1 else [round(i * last / (count - 1)) for i in range(count)]
    ranks = {}
    for place in dict.fromkeys(places):
        named = {0: "worst", last: "best"}.get(place)
        ranks[ordered[place]] = named or (
            "median" if place == round(last / 2) else f"{_ordinal(100 * place / last)} percentile"
        )
    return ranks


def _ordinal(number: float) -> str:
    """Returns 1st, 2nd, 3rd, 4th, ... 11th, ... 21st."""
    whole = round(number)
    ending = "th" if whole % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10)
    return f"{whole}{ending or 'th'}"


def collect(
    pictures: Pictures,
    dataset: Dataset,
    ranks: Mapping[str, str],
    image_scores: Mapping[str, float],
    *,
    side: int,
) -> tuple[Example, ...]:
    """Returns the samples named by `ranks`, at most `side` pixels long.

    Args:
        pictures: asks the model a second time, so that memory stays bounded during the first.
    """
    index_of = {dataset.sample_id(index): index for index in range(len(dataset))}
    examples = []
    for sample_id, rank in ranks.items():
        if sample_id not in index_of:
            raise SegtuneError(f"{dataset.name} ({dataset.split}) has no sample {sample_id!r}")
        sample = dataset[index_of[sample_id]]
        truth, answer = pictures(sample)
        image = sample.pixels()
        height, width = image.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        small = Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS)
        examples.append(
            Example(
                sample_id=sample_id,
                image=np.asarray(small),
                truth=reduced(truth, size),
                prediction=reduced(answer, size),
                score=image_scores[sample_id],
                rank=rank,
            )
        )
    return tuple(examples)


def reduced(answer: Segmentation, size: Size) -> Segmentation:
    """Returns an answer at (height, width) `size`, nearest neighbour.

    Segments that vanish are left out.
    """
    rows = np.arange(size[0]) * answer.size[0] // size[0]
    columns = np.arange(size[1]) * answer.size[1] // size[1]
    places = np.ix_(rows, columns)
    segments = []
    for segment in answer.segments:
        mask = segment.full_mask(answer.size)[places]
        if mask.any():
            segments.append(crop_segment(mask, segment.class_id, segment.score))
    semantic = None if answer.semantic is None else answer.semantic[places]
    return replace(answer, size=size, semantic=semantic, segments=tuple(segments))
