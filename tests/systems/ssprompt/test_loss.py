"""Equation 9: per-pixel cross-entropy, or matched classes and masks; degenerate labels."""

import math

import pytest
import torch

from segtune.errors import SegtuneError
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.semantic_loss import semantic_loss
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.systems.base import Targets
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.loss import losses

from .conftest import scores

FORMS = ["nll", "score", "logsumexp"]


@pytest.fixture
def heads():
    """Two heads for two images: four queries, three classes and the background, 4 x 6 masks."""
    generator = torch.Generator().manual_seed(0)
    return [
        tuple(
            torch.randn(2, 4, *size, generator=generator).requires_grad_()
            for size in ((4,), (4, 6))
        )
        for _ in range(2)
    ]


@pytest.fixture
def labels():
    return torch.randint(-1, 3, (2, 16, 24), generator=torch.Generator().manual_seed(1))


def objects(*class_ids, size=(16, 24)):
    masks = torch.rand(len(class_ids), *size, generator=torch.Generator().manual_seed(2)) > 0.5
    return MaskTargets(torch.tensor(class_ids, dtype=torch.long), masks)


@pytest.mark.parametrize("form", FORMS)
def test_semantic_loss_against_a_loop_over_pixels(heads, labels, form):
    found = losses(heads[-1:], Targets(labels), SSPromptConfig(semantic_loss=form))
    s = scores(*heads[-1]).double()
    total, count = 0.0, 0
    for b in range(2):
        for i in range(4):
            for j in range(6):
                own = int(labels[b, 4 * i + 2, 4 * j + 2])
                if own < 0:
                    continue
                logits = s[b, :, i, j] if form == "score" else s[b, :, i, j].log()
                total += (logits.logsumexp(0) - logits[own]).item()
                count += 1
    assert set(found) == {"loss_ce"}
    assert found["loss_ce"].item() == pytest.approx(total / count, rel=1e-5)


def test_every_head_that_is_supervised_counts(heads, labels):
    found = losses(heads, Targets(labels), SSPromptConfig())
    assert list(found) == ["loss_ce_0", "loss_ce"]
    for head, value in zip(heads, found.values(), strict=True):
        assert torch.equal(value, semantic_loss(*head, labels) / 2)  # a mean of the heads


@pytest.mark.parametrize("task", ["instance", "panoptic"])
@pytest.mark.parametrize("dice", [False, True])
def test_masks_are_matched_with_the_official_weights(heads, labels, task, dice):
    config = SSPromptConfig(task=task, dice=dice)
    targets = Targets(labels, [objects(2, 0), objects(1)])
    found = losses(heads, targets, config)
    settings = SetLossConfig(dense=True, dice_weight=5.0 if dice else 0.0)
    expected = set_loss([SetPrediction(*head) for head in heads], targets.masks, settings)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in expected.items()}
    kinds = {"loss_class", "loss_mask", "loss_dice"}
    assert set(found) == kinds | {f"{kind}_0" for kind in kinds}
    assert (found["loss_dice"] > 0) == dice


def test_masks_need_masks(heads, labels):
    for task in ("instance", "panoptic"):
        with pytest.raises(SegtuneError, match="task=semantic"):
            losses(heads, Targets(labels), SSPromptConfig(task=task))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [-1, -2])
def test_nothing_labelled_is_nothing_to_learn(heads, form, value):
    unlabelled = Targets(torch.full((2, 16, 24), value))
    loss = losses(heads[-1:], unlabelled, SSPromptConfig(semantic_loss=form))["loss_ce"]
    loss.backward()
    assert loss.item() == 0
    assert all(tensor.grad.abs().sum() == 0 for tensor in heads[-1])


def test_images_without_objects_teach_the_background(heads, labels):
    found = losses(heads[-1:], Targets(labels, [objects()] * 2), SSPromptConfig(task="instance"))
    class_logits = heads[-1][0]
    no_object = -class_logits.log_softmax(-1)[..., -1].mean()
    assert found["loss_class"].item() == pytest.approx(2 * no_object.item(), rel=1e-5)
    assert found["loss_mask"].item() == 0
    sum(found.values()).backward()
    assert all(tensor.grad.isfinite().all() for tensor in heads[-1])


@pytest.mark.parametrize("form", FORMS)
def test_masks_that_are_sure_and_wrong_have_a_finite_loss(form):
    class_logits = torch.tensor([[[80.0, -80.0, -80.0]]]).requires_grad_()
    mask_logits = torch.full((1, 1, 2, 2), -200.0).requires_grad_()
    labels = torch.ones(1, 8, 8, dtype=torch.long)
    targets = Targets(labels)
    loss = losses([(class_logits, mask_logits)], targets, SSPromptConfig(semantic_loss=form))
    loss["loss_ce"].backward()
    assert math.isfinite(loss["loss_ce"].item())
    assert class_logits.grad.isfinite().all()
    assert mask_logits.grad.isfinite().all()
