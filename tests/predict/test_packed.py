"""Results as bytes: what comes back is equal, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from segtune.errors import DataError
from segtune.ops.segments import crop_segment, segments_from_semantic
from segtune.predict.packed import packed, unpacked
from segtune.types import IGNORE, Segment, Segmentation, Vocabulary

WORDS = Vocabulary.of("a", "b")


def same(one: Segmentation, two: Segmentation) -> bool:
    assert (one.size, dict(one.source)) == (two.size, dict(two.source))
    assert (one.semantic is None) == (two.semantic is None)
    if one.semantic is not None and two.semantic is not None:
        np.testing.assert_array_equal(one.semantic, two.semantic)
        assert one.semantic.dtype == two.semantic.dtype
    assert len(one.segments) == len(two.segments)
    for left, right in zip(one.segments, two.segments, strict=True):
        assert (left.class_id, left.score, left.box_px) == (
            right.class_id,
            right.score,
            right.box_px,
        )
        assert left.alternatives == right.alternatives
        assert left.mask.dtype == right.mask.dtype
        np.testing.assert_array_equal(left.mask, right.mask)
    return True


def test_all_kinds_of_results() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(IGNORE, 2, (9, 13)).astype(np.int32)
    masks = [rng.random((9, 13)) < share for share in (0.5, 0.02, 0.0)]
    segments = tuple(crop_segment(m, 1, 1 / 3, alternatives=((0, 0.1), (1, 2 / 3))) for m in masks)
    source = {"model": "m", "shift": 0.1, "masks": [0, 1]}
    for result in (
        Segmentation((9, 13), WORDS, labels),
        Segmentation((9, 13), WORDS, None, segments, source),
        Segmentation((9, 13), WORDS, labels, segments_from_semantic(labels, WORDS)),
        Segmentation((9, 13), WORDS, None, ()),
        Segmentation((1, 1), WORDS, None, (Segment(0, 0.0, (0, 0, 0, 0), np.zeros((0, 0), bool)),)),
    ):
        assert same(result, unpacked(packed(result), WORDS))


@pytest.mark.parametrize("content", [b"", b"x", packed(Segmentation((1, 1), WORDS))[:-4]])
def test_damage_is_said(content: bytes) -> None:
    with pytest.raises(DataError, match="damaged"):
        unpacked(content, WORDS)
