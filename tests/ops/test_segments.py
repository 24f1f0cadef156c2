from __future__ import annotations

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.ops.segments import crop_segment, distinct_regions, segments_from_semantic
from segtune.types import IGNORE, Concept, Vocabulary

VOCABULARY = Vocabulary((Concept("car"), Concept("sky", kind="stuff")))
LABELS = np.array(
    [
        [1, 1, 1, 1, 1],
        [0, -1, 0, 1, 1],
        [0, 0, -1, 0, -1],
        [1, -1, -1, -1, 0],
    ],
    dtype=np.int32,
)


def test_things_are_split_and_stuff_is_one() -> None:
    segments = segments_from_semantic(LABELS, VOCABULARY)
    assert [(s.class_id, s.box_px, s.score) for s in segments] == [
        (0, (0, 1, 5, 4), 1.0),
        (1, (0, 0, 5, 4), 1.0),
    ]
    apart = np.where(LABELS == 1, IGNORE, LABELS)
    apart[2, 1] = IGNORE
    boxes = [s.box_px for s in segments_from_semantic(apart, VOCABULARY)]
    assert boxes == [(0, 1, 1, 3), (2, 1, 5, 4)]


def test_segments_cover_the_map_exactly() -> None:
    labels = np.random.default_rng(0).integers(-1, 2, (30, 40)).astype(np.int32)
    painted = np.full_like(labels, IGNORE)
    for segment in segments_from_semantic(labels, VOCABULARY):
        mask = segment.full_mask(labels.shape)
        assert (painted[mask] == IGNORE).all()
        painted[mask] = segment.class_id
    np.testing.assert_array_equal(painted, labels)


def test_scores_are_means_and_small_regions_can_be_dropped() -> None:
    probs = np.linspace(0, 1, LABELS.size).reshape(LABELS.shape)
    sky = segments_from_semantic(LABELS, VOCABULARY, probs=probs)[1]
    assert sky.score == pytest.approx(probs[LABELS == 1].mean())
    assert len(segments_from_semantic(LABELS, VOCABULARY, min_pixels=7)) == 1
    with pytest.raises(SegtuneError, match="probs are"):
        segments_from_semantic(LABELS, VOCABULARY, probs=probs[1:])


def test_empty_maps_and_masks() -> None:
    assert segments_from_semantic(np.full((3, 4), IGNORE), VOCABULARY) == ()
    assert segments_from_semantic(np.zeros((0, 4), dtype=np.int32), VOCABULARY) == ()
    segment = crop_segment(np.zeros((3, 4), dtype=bool), 0, 0.5)
    assert segment.box_px == (0, 0, 0, 0)
    assert segment.full_mask((3, 4)).sum() == 0


def test_a_region_of_several_names_is_one_region() -> None:
    left, right = np.array([[True, False]]), np.array([[False, True]])
    found = [
        crop_segment(left, 0, 0.2),
        crop_segment(left, 1, 0.9),
        crop_segment(right, 0, 0.5),
        crop_segment(right, 0, 0.4),
        crop_segment(right, 1, 0.3),
        crop_segment(left | right, 0, 0.1),
    ]
    kept = distinct_regions(found)
    assert [(segment.class_id, segment.score) for segment in kept] == [
        (1, 0.9),
        (0, 0.5),
        (0, 0.4),
        (0, 0.1),
    ]
    assert distinct_regions([]) == ()
