"""Regions: against one loop per region, by hand at the edges, against the official code."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from segtune.errors import SegtuneError
from segtune.ops.boxes import roi_align
from segtune.ops.normalisation import CLIP
from segtune.ops.regions import cut as module
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import (
    OVSEG,
    SIMBASELINE,
    ZEGFORMER,
    ZEGFORMER_CROP,
    ZEGFORMER_MASK,
    RegionConfig,
)
from tests.goldens import DEEP_STEPS, close, goldens

MEAN, STD = CLIP.unit_mean, CLIP.unit_std
ZEGFORMER_STYLES = {"crop": ZEGFORMER_CROP, "mask": ZEGFORMER_MASK, "cropmask": ZEGFORMER}


def _normalised(image):
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (image - mean) / std


def _cut(image, probs, config):
    return cut_regions(image, probs, config, normalisation=CLIP)


def _scene(seed=0, size=(40, 56), count=6):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, *size, generator=generator) * 255
    coarse = torch.rand(count, 5, 7, generator=generator)
    probs = F.interpolate(coarse[None], size, mode="bilinear")[0]
    probs[1] = 0
    probs[2] = 0.99
    probs[3] = 0
    probs[3, 7, 9] = 1  # one pixel
    probs[4, :, 20:] = 0
    return image, probs


def _loop(image, probs, config):
    """The recipe of OVSeg, region by region, with torch's own resize."""
    picture = _normalised(image)
    paint = torch.zeros(3, 1, 1)
    if config.fill == "zero":
        paint = _normalised(torch.zeros(3, 1, 1))
    pixels, masks, boxes = [], [], []
    height, width = probs.shape[1:]
    for plane in probs:
        inside = plane > config.threshold
        if not inside.any():
            continue
        ys, xs = inside.nonzero().T
        x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        r = config.expand_ratio / 2
        x1, x2 = max(int(cx - r * w), 0), min(int(cx + r * w), width)
        y1, y2 = max(int(cy - r * h), 0), min(int(cy + r * h), height)
        weight = (plane if config.matting else inside.float())[y1:y2, x1:x2]
        crop = picture[:, y1:y2, x1:x2]
        if config.style == "cropmask":
            crop = crop * weight + paint * (1 - weight)
        size = (config.size, config.size)
        pixels.append(F.interpolate(crop[None], size, mode=config.resize, align_corners=False)[0])
        masks.append(F.interpolate(weight[None, None], size, mode="nearest")[0, 0])
        boxes.append([x1, y1, x2, y2])
    return torch.stack(pixels), torch.stack(masks), torch.tensor(boxes)


@pytest.mark.parametrize("way", ["one by one", "together"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"threshold": 0.7},
        {"fill": "zero"},
        {"expand_ratio": 1.5},
        {"matting": True},
        {"style": "crop"},
        {"size": 7},
        {"size": 37},  # blocks of one column
        {"size": 96},  # three blocks
        {"size": 96, "resize": "bilinear"},
        {"resize": "bilinear"},
    ],
    ids=str,
)
def test_same_as_one_region_at_a_time(changes, way, monkeypatch):
    if way == "together":
        monkeypatch.setattr(module, "cut_one_by_one", module.cut_together)
    image, probs = _scene()
    config = replace(OVSEG, **{"size": 32} | changes)
    cut = _cut(image, probs, config)
    pixels, masks, boxes = _loop(image, probs, config)
    assert cut.valid.tolist() == (probs > config.threshold).flatten(1).any(1).tolist()
    assert torch.equal(cut.boxes_px, boxes)
    assert torch.equal(cut.masks, masks)
    torch.testing.assert_close(cut.pixels, pixels, atol=5e-5, rtol=0)


def test_the_background_does_not_leak_into_a_crop():
    """Bicubic taps stop at the edge of the box: what lies outside cannot matter."""
    image, _ = _scene()
    probs = torch.zeros(1, 40, 56)
    probs[0, 10:20, 10:30] = 1
    other = image.clone()
    other[:, :10], other[:, 20:], other[:, :, :10], other[:, :, 30:] = 0, 0, 0, 0
    crop = replace(OVSEG, style="crop", size=32)
    assert torch.equal(_cut(image, probs, crop).pixels, _cut(other, probs, crop).pixels)


def test_blank_pixels_are_zero_with_the_mean_colour():
    image, probs = _scene()
    probs[0], probs[0, :30, :30] = 0, 0
    probs[0, 0, 0] = probs[0, 39, 55] = 1  # a box of the whole image, blank but for two corners
    cut = _cut(image, probs[:1], replace(OVSEG, size=32))
    assert torch.equal(cut.pixels[0, :, 8:24], torch.zeros(3, 16, 32))
    grey = _cut(image, probs[:1], replace(OVSEG, size=32, fill=(255.0, 0.0, 0.0)))
    painted = _normalised(torch.tensor([255.0, 0, 0])[:, None, None])
    torch.testing.assert_close(grey.pixels[0, :, 8:24], painted.expand(3, 16, 32))


@pytest.mark.parametrize("config", [OVSEG, SIMBASELINE, *ZEGFORMER_STYLES.values()], ids=str)
def test_no_masks_and_no_pixels(config):
    image, _ = _scene()
    small = replace(config, size=16)
    cut = _cut(image, torch.zeros(0, 40, 56), small)
    assert cut.pixels.shape == (0, 3, 16, 16)
    assert cut.masks.shape == (0, 16, 16)
    assert cut.valid.shape == (0,)
    assert cut.boxes_px.shape == (0, 4)
    cut = _cut(image, torch.zeros(2, 40, 56), small)
    kept = 2 if config.empty == "full_image" else 0
    assert len(cut.pixels) == len(cut.masks) == len(cut.boxes_px) == kept
    assert cut.valid.tolist() == [bool(kept)] * 2
    assert cut.pixels.isfinite().all()


def test_zegformer_boxes_end_before_the_last_pixel():
    image, _ = _scene()
    probs = torch.zeros(4, 40, 56)
    probs[0, 5:9, 11:20] = 1
    probs[1, 5, 11:20] = 1  # a line: its box has no area
    probs[2, 5, 11] = 1  # a pixel
    cut = _cut(image, probs, replace(ZEGFORMER, size=16))
    whole = [0, 0, 56, 40]
    assert cut.boxes_px.tolist() == [[11, 5, 19, 8], whole, whole, whole]
    assert cut.valid.all()
    picture = _normalised(image) * (probs[:, None] > 0.5)
    boxes = list(cut.boxes_px.float()[:, None])
    reference = roi_align(picture, boxes, 16, aligned=True)
    torch.testing.assert_close(cut.pixels, reference, atol=1e-5, rtol=0)
    assert not cut.pixels[3].any()  # nothing of the picture, so the mean colour


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_style_mask_keeps_the_image_and_thresholds_last(resize):
    image, probs = _scene()
    config = replace(ZEGFORMER_MASK, size=20, resize=resize)
    cut = _cut(image, probs, config)
    squashed = F.interpolate(_normalised(image)[None], (20, 20), mode=resize)[0]
    logits = probs.clamp(1e-6, 1 - 1e-6).logit()[None]
    inside = F.interpolate(logits, (20, 20), mode="bilinear")[0] > 0
    assert torch.equal(cut.masks.bool(), inside)
    torch.testing.assert_close(cut.pixels, squashed * inside[:, None], atol=5e-5, rtol=0)


def test_bool_masks_and_order():
    image, probs = _scene()
    inside = probs > 0.4
    config = replace(OVSEG, size=16)
    cut = _cut(image, inside, config)
    assert torch.equal(cut.pixels, _cut(image, probs, config).pixels)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    again = _cut(image, inside[order], config)
    assert torch.equal(again.valid, cut.valid[order])
    places = (cut.valid.cumsum(0) - 1)[order][again.valid]
    assert torch.equal(again.pixels, cut.pixels[places])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"size": 0}, "size is 0"),
        ({"expand_ratio": 0.5}, "expand_ratio 0.5"),
        ({"style": "mask", "resize": "roi_align"}, 'use resize="bilinear"'),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(SegtuneError, match=message):
        RegionConfig(**changes)


@pytest.mark.golden
def test_official_ovseg_regions():
    for golden in goldens("ovseg_regions"):
        base = RegionConfig(threshold=golden.metadata["mask_thr"], fill=golden.metadata["fill"])
        cases = {
            "base": base,
            "thr5": replace(base, threshold=0.5),
            "zero": replace(base, fill="zero"),
            "expand": replace(base, expand_ratio=1.5),
            "matting": replace(base, matting=True),
        }
        for name, config in cases.items():
            expected = golden.part(f"out.{name}")
            cut = _cut(golden["in.image"].float(), golden["in.mask_prob"], config)
            assert torch.equal(cut.valid, expected["valid"].bool())
            _close(cut.pixels[:, :, ::7, ::7], expected["regions_stride7"])
            masks = expected["region_masks_stride7"].float().reshape(cut.masks[:, ::7, ::7].shape)
            close(cut.masks[:, ::7, ::7], masks, steps=8 if config.matting else 0)
            if name == "base":
                assert torch.equal(cut.boxes_px, expected["boxes_xyxy"].long())
                _close(cut.pixels[:2], expected["regions_first2"])
                whole = expected["region_masks"].float().reshape(cut.masks.shape)
                assert torch.equal(cut.masks, whole)


@pytest.mark.golden
def test_official_zegformer_regions():
    for golden in goldens("zegformer_two_stage"):
        multiple = golden.metadata["size_divisibility"]
        image = golden["in.image"].float()
        bottom, right = (-side % multiple for side in image.shape[1:])
        mean = 255 * torch.tensor(MEAN)[:, None, None]
        padded = F.pad(image - mean, (0, right, 0, bottom)) + mean
        logits = F.interpolate(
            golden["in.mask_logits_stride4"][None], padded.shape[1:], mode="bilinear"
        )[0]
        for style, config in ZEGFORMER_STYLES.items():
            cut = _cut(padded, logits.sigmoid(), config)
            _close(cut.pixels[:, :, ::7, ::7], golden[f"out.{style}.regions_stride7"])
            if style == "cropmask":
                _close(cut.pixels[:1], golden["out.cropmask.regions_first1"])


def _close(actual, expected):
    close(actual, expected, steps=DEEP_STEPS)
