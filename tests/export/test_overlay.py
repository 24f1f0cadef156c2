"""Pictures of results."""

import numpy as np
import pytest

from segtune.data.images import read_image
from segtune.errors import SegtuneError
from segtune.export.overlay import OverlaySink, enlarged
from segtune.viz.overlay import draw_overlay
from tests.export.results import IMAGE, WORDS, answer


def test_small_answers_are_enlarged_as_they_are():
    small = answer(last=0)
    pixels, large = enlarged(IMAGE, small)
    times = large.size[0] // 6
    assert times > 1
    assert pixels.shape == (6 * times, 8 * times, 3)
    assert np.array_equal(large.semantic[::times, ::times], small.semantic)
    for before, after in zip(small.segments, large.segments, strict=True):
        mask = after.full_mask(large.size)[::times, ::times]
        assert np.array_equal(mask, before.full_mask((6, 8)))
    assert enlarged(pixels, large)[1] is large


def test_the_file_is_the_drawing(tmp_path):
    sink = OverlaySink()
    sink.open(tmp_path / "overlays", WORDS)
    sink.add("a", IMAGE, answer())
    assert sink.close() == [tmp_path / "overlays"]
    expected = draw_overlay(*enlarged(IMAGE, answer()), names=True)
    np.testing.assert_array_equal(read_image(tmp_path / "overlays" / "a.png"), expected)


def test_it_needs_the_image(tmp_path):
    sink = OverlaySink()
    sink.open(tmp_path, WORDS)
    with pytest.raises(SegtuneError, match="give image="):
        sink.add("a", None, answer())
