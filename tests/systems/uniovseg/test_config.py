import pytest

from segtune.backbones.uniovseg.everything import EverythingConfig
from segtune.errors import SegtuneError
from segtune.systems.uniovseg.config import FROZEN, UniOvsegSettings, configure


def test_masks_are_found_as_the_released_code_does_by_default():
    own, released = UniOvsegSettings(), EverythingConfig()
    assert (own.grid, own.grid) == released.grid
    for name in ("min_iou", "max_iou", "max_inside", "min_stability", "shrink"):
        assert getattr(own, name) == getattr(released, name)


def test_the_name_says_whether_something_is_learned():
    assert configure("uniovseg").learns == "adapter"
    assert configure(FROZEN, {"grid": 8}) == UniOvsegSettings(grid=8, learns="nothing")


@pytest.mark.parametrize(
    "options",
    [{"grid": 0}, {"rank": 0}, {"min_iou": 1.5}, {"frozen_share": -0.1}, {"shrink": 3}, {"x": 1}],
)
def test_what_cannot_be_is_refused_by_name(options):
    with pytest.raises(SegtuneError, match=next(iter(options))):
        configure("uniovseg", options)
