import pytest
import torch

from segtune.backbones.mask2former.random import random_mask2former
from segtune.errors import SegtuneError
from segtune.systems.base import Targets, Words
from segtune.systems.segprompt.finder import ObjectFinder
from segtune.types import Geometry

ONE = Words(torch.empty(1, 0))


def test_masks_and_scores_are_those_of_the_model():
    model = random_mask2former()
    finder = ObjectFinder(model)
    pixels = torch.rand(1, 3, 64, 64) * 255
    features = finder.encode(pixels)
    found = finder.predict(features, ONE, [Geometry((64, 64), (64, 64), (64, 64))])[0]
    expected = model.propose(pixels)
    assert torch.equal(found.mask_logits, expected.mask_logits[0])
    assert torch.equal(found.class_scores[:, 0], expected.objectness[0])


def test_more_words_and_fits_are_refused():
    finder = ObjectFinder(random_mask2former())
    features = finder.encode(torch.zeros(1, 3, 32, 32))
    with pytest.raises(SegtuneError, match="cannot tell 2 classes apart"):
        finder.predict(features, Words(torch.empty(2, 0)), [])
    with pytest.raises(SegtuneError, match="no prompts to fit"):
        finder.loss(features, ONE, Targets(torch.zeros(1, 32, 32, dtype=torch.int64)))
