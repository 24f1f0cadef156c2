from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from segtune.ops.resize import bicubic, bilinear, to_original
from segtune.types import Geometry


def test_same_size_is_the_same_tensor() -> None:
    planes = torch.rand(3, 4, 5)
    assert bilinear(planes, (4, 5)) is planes


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (40, 60)])
def test_bilinear_is_torch_and_planes_do_not_depend_on_each_other(size: tuple[int, int]) -> None:
    planes = torch.randn(6, 8, 9)
    whole = bilinear(planes, size)
    expected = F.interpolate(planes[None], size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(whole, expected)
    assert torch.equal(torch.cat([bilinear(plane[None], size) for plane in planes]), whole)


def test_padding_is_cut_off_before_the_last_step() -> None:
    logits = torch.zeros(1, 4, 4)
    logits[:, 2:] = 100.0  # the lower half of the input is padding
    logits[:, :, 3:] = 100.0
    geometry = Geometry(original_size=(10, 15), resized_size=(2, 3), input_size=(4, 4))
    assert not to_original(logits, geometry).any()
    assert to_original(logits.half(), geometry).dtype == torch.float32
    assert to_original(logits, geometry).shape == (1, 10, 15)


def test_bicubic_last_step_is_antialiased_and_leaves_equal_sizes_alone() -> None:
    logits = torch.randn(3, 8, 9)
    assert bicubic(logits, (8, 9)) is logits
    geometry = Geometry(original_size=(5, 6), resized_size=(14, 17), input_size=(16, 18))
    on_input = F.interpolate(logits[None], (16, 18), mode="bilinear", align_corners=False)
    expected = F.interpolate(
        on_input[..., :14, :17], (5, 6), mode="bicubic", align_corners=False, antialias=True
    )[0]
    torch.testing.assert_close(to_original(logits, geometry, last_step="bicubic"), expected)
    assert not torch.allclose(to_original(logits, geometry), expected, atol=1e-2)
