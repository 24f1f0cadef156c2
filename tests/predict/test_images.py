"""One image in every form a user has it in; what is no image is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.data.images import read_image
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.predict.images import as_sample, each_of, pixels_of_array
from segtune.types import Sample

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY, RGBA = RGB[..., 0], np.dstack([RGB, RGB[..., ::-1][..., :1]])


@pytest.mark.parametrize(("array", "mode"), [(RGB, "RGB"), (GREY, "L"), (RGBA, "RGBA")])
def test_arrays_pil_images_samples_and_files_are_the_same_picture(array, mode, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(array, mode).save(path)
    expected = read_image(path)
    forms = [
        array,
        Image.fromarray(array, mode),
        Image.open(path),
        path,
        str(path),
        Sample("a", array),
        Sample("a", path),
    ]
    for form in forms:
        pixels = as_sample(form).pixels()
        assert (pixels.dtype, pixels.shape) == (np.uint8, (20, 30, 3))
        assert np.array_equal(pixels, expected)


def test_rgb_arrays_are_not_copied():
    assert pixels_of_array(RGB) is RGB
    sample = Sample("a", RGB, captions=("x",))
    assert as_sample(sample).image is RGB
    assert as_sample(sample).captions == ("x",)


def test_transparent_pixels_are_white():
    array = np.zeros((1, 3, 4), np.uint8)
    array[0, :, 3] = [0, 255, 128]
    assert pixels_of_array(array)[0, :, 0].tolist() == [255, 0, 127]


def test_grey_with_a_channel_axis():
    assert np.array_equal(pixels_of_array(GREY[..., None]), pixels_of_array(GREY))


def test_pil_images_of_a_camera_are_turned_upright():
    image = Image.fromarray(RGB)
    image.getexif()[0x0112] = 6
    assert np.array_equal(as_sample(image).pixels(), np.rot90(RGB, -1))
    palette = Image.fromarray(RGB).convert("P")
    assert as_sample(palette).pixels().shape == RGB.shape


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            RGB / 255,
            r'float64.*expected uint8.*type \(image \* 255\)\.round\(\)\.astype\("uint8"\)',
        ),
        (RGB.astype(np.float32), "uint8"),
        (GREY > 9, r'bool.*type image\.astype\("uint8"\) \* 255'),
        (RGB.astype(np.uint16), r'type \(image >> 8\)\.astype\("uint8"\)'),
        (RGB.astype(np.int64), r'type image\.astype\("uint8"\)$'),
        (RGB.transpose(2, 0, 1), r"channels come last: type image\.transpose\(1, 2, 0\)"),
        (RGB[None], r"for many images give list\(images\)"),
        (RGB[..., :2], r"expected \(H, W\), \(H, W, 3\) RGB"),
        (RGB[:0], "expected"),
        (RGB[0, 0], "expected"),
        (7, "cannot be of type int; give a path, a PIL image"),
        (torch.zeros(3, 4, 4), "cannot be of type Tensor"),
        (None, "cannot be of type NoneType"),
        (Image.new("F", (3, 3)), "floating-point"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(SegtuneError, match=message) as caught:
        as_sample(image)
    assert "\n" not in str(caught.value)


def test_one_and_many():
    data = SyntheticDataset("jargon", "val", size=(64, 64), length=2)
    for one in ("a.png", RGB, Image.fromarray(RGB), data[0], None):
        images, are_many = each_of(one)
        assert (len(list(images)), are_many) == (1, False)
    for several in (["a.png", RGB], ("a.png",), [], (x for x in (RGB, RGB)), data):
        images, are_many = each_of(several)
        assert are_many
        assert all(not isinstance(each, list) for each in images)
    assert [sample.id for sample in each_of(data)[0]] == [data.sample_id(i) for i in range(2)]


# -- all the ways in ------------------------------------------------------------------------------


def test_every_way_of_asking_takes_every_form(tiny_model, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    masks = np.ones((1, 20, 30), bool)
    for ask in (
        lambda image: tiny_model.segment(image, "road, car").semantic,
        lambda image: tiny_model.classify_masks(image, masks, "road, car").segments[0].score,
    ):
        expected = ask(RGB)
        for form in (path, Image.fromarray(RGB), Sample("a", path)):
            assert np.array_equal(ask(form), expected)
        for form in (GREY, RGBA, Image.fromarray(RGBA)):
            ask(form)
        with pytest.raises(SegtuneError, match="uint8"):
            ask(RGB / 255)


def test_points_and_boxes_take_every_form():
    from segtune.backbones.sam.random import random_sam
    from segtune.predict.segmenter import Segmenter

    model = Segmenter(random_sam())
    for ask in (
        lambda image: model.segment_points(image, [(3, 3)]).segments[0].score,
        lambda image: model.segment_boxes(image, [(3, 3, 9, 9)]).segments[0].score,
        lambda image: model.look(image).points([(3, 3)]).segments[0].score,
    ):
        assert ask(Image.fromarray(RGBA)) == ask(RGBA) == ask(Sample("a", RGBA))
        assert ask(GREY) == ask(Image.fromarray(GREY))


def test_many_images_give_many_answers(tiny_model):
    images = [RGB, Image.fromarray(RGB[:16]), GREY]
    together = tiny_model.segment(images, "road, car")
    assert [answer.size for answer in together] == [(20, 30), (16, 30), (20, 30)]
    for image, answer in zip(images, together, strict=True):
        alone = tiny_model.segment(image, "road, car")
        assert np.array_equal(alone.semantic, answer.semantic)
    assert tiny_model.segment([], "road, car") == []
    data = SyntheticDataset("jargon", "val", size=(64, 64), length=3)
    assert len(tiny_model.segment(data, "road", task="instance")) == 3
    with pytest.raises(FileNotFoundError):
        tiny_model.segment([RGB, "no-such.jpg"], "road")
