"""Pairs are those of the plain sum of costs; what cannot be compared is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from segtune.data.formats import open_dataset
from segtune.errors import DataError
from segtune.systems.uniovseg.adapter import region_embeds
from segtune.trainers.uniovseg.captions_pairs import PairFinder, with_captions
from segtune.trainers.uniovseg.captions_run import fresh_system
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.nouns.registry import make_extractor


def finder_of(recipe):
    return PairFinder(fresh_system(recipe), make_extractor("rules"), recipe)


@pytest.fixture
def sample(captions):
    return open_dataset(captions, split=None)[1]


def test_pairs_are_the_cheapest_of_the_mean_over_sizes(captions_recipe, sample):
    finder = finder_of(captions_recipe)
    model = finder.system.backbone
    looked = model.look(sample.pixels())
    found = finder(sample, looked)
    words = ["star", "grass", "tree"]
    assert sorted(finder.entities(sample.captions)) == sorted(words)
    words = finder.entities(sample.captions)
    texts = embed_vocabulary(model, Vocabulary.of(*words), finder.templates, use_cache=False)
    masks = finder._masks(looked)
    assert len(masks) > len(words)
    total = 0
    for size in (64, 96):
        seen = model.look(sample.pixels(), size).seen
        cosine = region_embeds(model, seen, masks[None])[0] @ texts.T
        total = total + 1 - (model.clip.temperature * cosine).softmax(-1)
    rows, columns = linear_sum_assignment(total.numpy())
    assert found.num_entities == len(rows) == 3
    expected = {(masks[r].sum().item(), texts[c].sum().item()) for r, c in zip(rows, columns)}  # noqa: B905
    pairs = zip(found.mask_logits, found.text_embeds, strict=True)
    ours = {(mask.sum().item(), text.sum().item()) for mask, text in pairs}
    np.testing.assert_allclose(sorted(ours), sorted(expected), rtol=1e-4, atol=1e-5)


def test_masks_that_are_too_small_are_left_out(captions_recipe, sample):
    finder = finder_of(captions_recipe)
    looked = finder.system.backbone.look(sample.pixels())
    every = finder._masks(looked)
    large = finder_of(replace(captions_recipe, min_area=0.6))._masks(looked)
    assert 0 < len(large) < len(every)
    assert all((mask > 0).float().mean() >= 0.6 for mask in large)
    few = finder_of(replace(captions_recipe, max_masks=2))._masks(looked)
    assert torch.equal(few, every[:2])


def test_captions_without_entities_teach_nothing(captions_recipe, sample):
    finder = finder_of(captions_recipe)
    looked = finder.system.backbone.look(sample.pixels())
    pairs = finder(replace(sample, captions=("A photo.",)), looked)
    assert len(pairs.mask_logits) == len(pairs.text_embeds) == pairs.num_entities == 0
    with pytest.raises(DataError, match="has no caption"):
        with_captions(Sample("a", np.zeros((2, 2, 3), np.uint8)))
