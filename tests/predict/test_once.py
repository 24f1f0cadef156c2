"""One image, one call, the bundled models."""

import numpy as np
from PIL import Image

import segtune

WORDS = "red star, green grass, sky"
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)


def test_segment():
    result = segtune.segment(Image.fromarray(IMAGE), WORDS)
    assert result.source["model"] == "seem-tiny"
    assert np.array_equal(result.semantic, segtune.load().segment(IMAGE, WORDS).semantic)
    other = segtune.segment(IMAGE, WORDS, model="clip-vit-tiny", task="instance")
    assert other.source["task"] == "instance"


def test_classify_masks():
    masks = np.zeros((2, 40, 52), bool)
    masks[0, 5:20, 8:30] = masks[1, 10:39, 2:9] = True
    result = segtune.classify_masks(Image.fromarray(IMAGE), masks, WORDS)
    assert result.source["model"] == "clip-vit-tiny"
    assert len(result.segments) == 2
