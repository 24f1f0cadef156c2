import numpy as np
import pytest
import torch
from PIL import Image

from segtune.backbones.uniovseg.canvas import geometry_on, off_canvas, paint, picture_extent
from segtune.types import Geometry
from tests.goldens import close, goldens


@pytest.mark.golden
def test_the_way_back():
    for golden in goldens("uniovseg_postprocess"):
        width, height = golden.config["out_wh"]
        masks = golden["inputs.mask_logits"][:2]
        size = (height, width)
        geometry = Geometry(size, size, tuple(masks.shape[-2:]))
        close(off_canvas(masks, geometry), golden["outputs.resized_to_output"])


def test_an_image_lies_at_the_upper_left_on_grey():
    image = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    canvas, geometry = paint(image, 96)
    assert canvas.shape == (3, 96, 96)
    assert geometry.resized_size == (58, 96)  # 57.6, rounded
    assert (canvas[:, 58:] == 128).all()
    resized = Image.fromarray(image).resize((96, 58), Image.Resampling.BILINEAR)
    assert np.array_equal(canvas[:, :58].permute(1, 2, 0).numpy(), np.array(resized))


@pytest.mark.parametrize(("size", "resized"), [((1, 1000), (1, 64)), ((64, 64), (64, 64))])
def test_sizes(size, resized):
    assert geometry_on(size, 64).resized_size == resized


def test_extent_of_a_picture():
    assert picture_extent((1, 1), 64) == (0.0, 0.0)
    assert picture_extent((101, 51), 64) == (31.5, 63.0)


def test_an_input_that_is_no_square_is_resized_as_it_is():
    masks = torch.arange(8.0).view(1, 2, 4)
    assert torch.equal(off_canvas(masks, Geometry((2, 4), (2, 4), (2, 4))), masks)
    assert off_canvas(masks, Geometry((6, 5), (2, 4), (2, 4))).shape == (1, 6, 5)


def test_masks_of_the_size_of_the_canvas_are_cut():
    masks = torch.arange(16.0).view(1, 4, 4)
    assert off_canvas(masks, geometry_on((4, 2), 4)).tolist() == masks[:, :, :2].tolist()
