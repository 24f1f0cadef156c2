import pytest
import torch

import segtune
from segtune.backbones.hub import load_backbone
from segtune.backbones.mask2former.random import random_mask2former
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.eval.run import evaluate
from segtune.systems.base import FindsSimilar, Targets, Words
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.files import save_prompts
from segtune.systems.segprompt.finder import ObjectFinder
from segtune.systems.segprompt.prompts import SegPrompts
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


@pytest.fixture
def taught(tmp_path):
    """A finder with prompts beside its model: three classes, of which one was seen."""
    model = random_mask2former()
    prompts = SegPrompts(SegPromptConfig(num_prompts=2, repeat=2), num_classes=3, width=32)
    prompts.cache.update(torch.randn(1, 2, 32), torch.tensor([[1, 1]]))
    model.folder = save_prompts(prompts, ("car", "dog", "bus"), tmp_path).parent
    return ObjectFinder(model)


def test_objects_by_example_and_by_class(taught):
    assert isinstance(taught, FindsSimilar)
    pixels, masks = torch.rand(1, 3, 64, 64) * 255, torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, :30, :30] = masks[1, 30:, 20:] = True
    examples = taught.examples(pixels, masks)
    assert examples.shape == (2, 32)
    for found in (taught.similar(pixels, examples), taught.of_class(pixels, "dog")):
        assert len(found.mask_logits) == len(found.qualities) > 0
    with pytest.raises(SegtuneError, match="'bus' is not a class"):
        taught.check_class("bus")


def test_a_model_without_prompts_says_so():
    with pytest.raises(SegtuneError, match="has no prompts beside it; choose a model"):
        ObjectFinder(random_mask2former()).check_class("dog")


def test_the_bundled_model_finds_things_and_makes_masks_for_a_clip():
    scores = evaluate(
        segtune.load("segprompt-tiny", device="cpu"),
        "synthetic:longtail?size=128&length=8",
        task="open-world",
        examples=0,
        progress=False,
    ).scores.summary()
    assert scores["AR@100"] > 0.4
    pair = segtune.load("segprompt-tiny+clip-vit-tiny", device="cpu")
    sample = open_dataset("synthetic:longtail?size=128&length=1", split="val")[0]
    found = pair.segment(sample, "synthetic:longtail", task="instance", min_score=0.2)
    assert found.segments
    assert pair.backbone.proposals.fingerprint == load_backbone("segprompt-tiny").fingerprint
