"""The contrastive loss: by hand, with repeated words, and one step of the official code."""

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.trainers.pairs.batches import Batch
from segtune.trainers.pairs.loss import contrast
from segtune.trainers.pairs.model import Trainee
from segtune.trainers.pairs.recipe import Stage
from tests.goldens import DEEP_STEPS, close, goldens


def _rows(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def _by_hand(regions, texts, scale, same):
    """Mean over rows and both directions of minus the mean log probability of what is right."""
    logits = scale * regions @ texts.T
    total = 0.0
    for table in (logits, logits.T):
        for i, row in enumerate(table):
            right = [j for j in range(len(row)) if same(i, j)]
            logs = [row[j] - torch.log(row.exp().sum()) for j in right]
            total -= sum(logs) / len(logs) / len(table) / 2
    return total


def test_by_hand():
    regions, ids = _rows(5, 0), torch.tensor([0, 1, 0, 2, 2])
    texts = _rows(3, 1)[ids]
    scale = torch.tensor(7.0)
    identity = _by_hand(regions, texts, scale, lambda i, j: i == j)
    torch.testing.assert_close(contrast(regions, texts, scale), identity)
    shared = _by_hand(regions, texts, scale, lambda i, j: ids[i] == ids[j])
    loss = contrast(regions, texts, scale, text_ids=ids, targets="same_text")
    torch.testing.assert_close(loss, shared)


def test_the_two_targets_agree_without_repeated_words():
    regions, texts, scale = _rows(6, 0), _rows(6, 1), torch.tensor(20.0)
    loss = contrast(regions, texts, scale, text_ids=torch.arange(6), targets="same_text")
    torch.testing.assert_close(loss, contrast(regions, texts, scale))


def test_the_same_word_twice_can_be_learned_with_same_text_only():
    """Two regions that equal their common word: a perfect answer, and only one loss says so."""
    rows, ids = _rows(1, 0).repeat(2, 1), torch.tensor([0, 0])
    rows, ids = torch.cat([rows, -rows[:1]]), torch.tensor([0, 0, 1])
    scale = torch.tensor(100.0)
    assert contrast(rows, rows, scale) > 0.4
    both = contrast(rows, rows, scale, text_ids=ids, targets="same_text")
    best = 2 / 3 * torch.log(torch.tensor(2.0))  # the entropy of halves, of two rows in three
    torch.testing.assert_close(both, best)


def test_same_text_needs_ids():
    with pytest.raises(ValueError, match="needs text_ids"):
        contrast(_rows(2, 0), _rows(2, 1), torch.tensor(1.0), targets="same_text")


@pytest.mark.golden
def test_official_step():
    """Loss and gradients of one mask-prompt-tuning step; two rows share their words."""
    for golden in goldens("ovseg_mpt_training"):
        clip = clip_vit_from_official(golden.part("sd"))
        texts = F.normalize(clip.encode_text(golden["in.token_ids"]), dim=-1)
        close(texts, golden["out.text_features"])
        depth = golden.metadata["mask_prompt_depth"]
        trainee = Trainee(clip, texts, Stage("mpt", depth=depth), seed=0)
        assert {name for name, _ in trainee.named_parameters()} == {"logit_scale", "mask_prompts"}
        masks = golden["in.region_masks"][:, 0].bool()
        batch = Batch(golden["in.images"], masks, torch.arange(len(masks)))
        losses = trainee.losses(batch)
        close(losses["_logit_scale"], golden["out.logit_scale_exp"])
        close(losses["contrast"], golden["out.loss"])
        losses["contrast"].backward()
        close(trainee.mask_prompts.grad, golden["out.grad.visual.mask_embedding"], steps=DEEP_STEPS)
        close(trainee.logit_scale.grad, golden["out.grad.logit_scale"])
        assert all(parameter.grad is None for parameter in clip.parameters())
