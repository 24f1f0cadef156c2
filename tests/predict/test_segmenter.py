"""From an image and words to a segmentation: sizes, tasks, negatives and windows."""

import numpy as np
import pytest
import torch

from segtune.backbones.seem.model import random_seem
from segtune.errors import SegtuneError
from segtune.ops.resize import resized
from segtune.ops.segments import distinct_regions
from segtune.predict.pixels import padded, segment_pixels
from segtune.predict.segmenter import Segmenter
from segtune.types import IGNORE, Resolution, Vocabulary
from tests.conftest import LetterTokenizer


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (45, 70, 3), dtype=np.uint8)


@pytest.mark.parametrize("resolution", [Resolution.of(32), Resolution(48, None, 32)])
def test_answers_have_the_size_of_the_image(tiny_model, image, resolution):
    result = tiny_model.segment(image, "road, car, tree", resolution=resolution)
    assert result.semantic.shape == (45, 70)
    assert result.semantic.dtype == np.int32
    assert set(np.unique(result.semantic)) <= {0, 1, 2}
    assert result.source["model"] == "tiny-clip"
    assert sum(result.classes_found().values()) == pytest.approx(1)


def test_negatives_become_ignored(tiny_model, image):
    plain = tiny_model.segment(image, "road, car, tree").semantic
    vocabulary = Vocabulary.of("road", "car", negatives=("tree",))
    result = tiny_model.segment(image, vocabulary).semantic
    assert (result == np.where(plain == 2, IGNORE, plain)).all()


def test_tasks(tiny_model, image):
    panoptic = tiny_model.segment(image, "road, car", task="panoptic")
    assert panoptic.segments
    assert sum(s.mask.sum() for s in panoptic.segments) == image.shape[0] * image.shape[1]
    instance = tiny_model.segment(image, "road, car", task="instance")
    assert instance.semantic is None
    assert all(s.mask.any() for s in instance.segments)
    regions = tiny_model.segment(image, "road, car", task="regions")
    assert [s.box_px for s in regions.segments] == [s.box_px for s in instance.segments]


def test_regions_of_a_model_that_predicts_masks_come_once_each(image):
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    model = Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))
    words = Vocabulary.of(*(f"thing {i}" for i in range(30)))
    things = model.segment(image, words, task="instance").segments
    regions = model.segment(image, words, task="regions").segments
    assert len(distinct_regions(things)) < len(things)
    assert len(distinct_regions(regions)) == len(regions)
    assert {s.mask.tobytes() for s in things} <= {s.mask.tobytes() for s in regions}


def test_the_least_score_of_regions(tiny_model, image):
    every = tiny_model.segment(image, "road, car", task="panoptic")
    scores = sorted(segment.score for segment in every.segments)
    least = scores[len(scores) // 2]
    kept = tiny_model.segment(image, "road, car", task="panoptic", min_score=least)
    assert all(segment.score >= least for segment in kept.segments)
    assert 0 < len(kept.segments) < len(every.segments)
    assert sum(s.mask.sum() for s in kept.segments) == (kept.semantic != IGNORE).sum()
    things = tiny_model.segment(image, "road, car", task="instance", min_score=1.0)
    assert things.segments == ()


def test_one_window_equals_the_whole_image(tiny_model, image):
    square = image[:45, :45]
    system, vocabulary = tiny_model.system_for(None), Vocabulary.of("a", "b", "c")
    words = tiny_model.words(vocabulary)
    whole = segment_pixels(system, square, words, vocabulary, resolution=Resolution(32, None, 32))
    window = segment_pixels(system, square, words, vocabulary, resolution=Resolution(32, 32, 32))
    assert (whole.semantic == window.semantic).all()


def test_windows_agree_with_a_slow_loop(tiny_model, image):
    """Averaged probabilities of overlapping windows, written out."""
    from segtune.ops.windows import windows
    from segtune.types import Geometry

    system, vocabulary = tiny_model.system_for(None), Vocabulary.of("a", "b", "c")
    words, resolution = tiny_model.words(vocabulary), Resolution(32, 32, 16)
    picture = resized(image, 32)
    size = tuple(picture.shape[1:])
    total, count = torch.zeros(3, *size), torch.zeros(size)
    for y1, x1, y2, x2 in windows(size, 32, 16):
        crop = padded(picture[:, y1:y2, x1:x2], 8, system.padding)
        geometry = Geometry(size, size, size)
        logits = system.predict(system.encode(crop[None]), words, [geometry])[0].pixel_logits
        probs = torch.nn.functional.interpolate(logits[None], crop.shape[1:], mode="bilinear")[0]
        total[:, y1:y2, x1:x2] += probs.softmax(0)[:, : y2 - y1, : x2 - x1]
        count[y1:y2, x1:x2] += 1
    mean = torch.nn.functional.interpolate((total / count)[None], (45, 70), mode="bilinear")[0]
    result = segment_pixels(system, image, words, vocabulary, resolution=resolution)
    assert (result.semantic == mean.argmax(0).numpy()).mean() > 0.999


def test_resize_and_pad(image):
    assert resized(image, 45).shape == (3, 45, 70)
    assert resized(image, 90).shape == (3, 90, 140)
    assert padded(resized(image, 45), 8, (118.0,) * 3).shape == (3, 48, 72)
    assert torch.equal(padded(torch.ones(3, 8, 8), 8, (118.0,) * 3), torch.ones(3, 8, 8))


def test_wrong_images_and_words(tiny_model, image):
    with pytest.raises(SegtuneError, match="uint8"):
        tiny_model.segment(image.astype(np.float32), "road")
    with pytest.raises(SegtuneError, match="no words"):
        tiny_model.segment(image)
    with pytest.raises(SegtuneError, match="empty"):
        tiny_model.segment(image, "")
    with pytest.raises(SegtuneError, match="tokens long"):
        tiny_model.segment(image, "x" * 200)
    with pytest.raises(FileNotFoundError):
        tiny_model.segment("no-such.jpg", "road")
