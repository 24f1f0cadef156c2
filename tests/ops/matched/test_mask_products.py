"""Masks as products: the same logits, losses and gradients as when they are formed first."""

import pytest
import torch

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched.losses import Pairs
from segtune.ops.matched.mask_products import MaskProducts, at_points, formed
from segtune.ops.matched.matching import Match
from segtune.ops.set_loss import MASKFORMER, SetLossConfig, SetPrediction, set_loss


@pytest.fixture
def products() -> MaskProducts:
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    features = torch.randn(2, 5, 8, 10, generator=generator, dtype=torch.float64)
    return MaskProducts(embeds.requires_grad_(), features.requires_grad_())


def test_all_of_them_some_of_them_and_points_of_them(products):
    whole = torch.einsum("bqm,bmhw->bqhw", products.embeds, products.features)
    torch.testing.assert_close(formed(products), whole)
    assert formed(whole) is whole
    assert products.shape == whole.shape
    assert len(products) == 2
    points = torch.rand(7, 2, dtype=torch.float64) * 1.2 - 0.1
    for image in range(2):
        torch.testing.assert_close(
            at_points(products, image, points), at_points(whole, image, points)
        )
    matches = [
        Match(torch.tensor([1, 4]), torch.tensor([0, 1])),
        Match(torch.tensor([0]), torch.tensor([0])),
    ]
    pairs = Pairs.of(matches, [2, 1], torch.device("cpu"))
    torch.testing.assert_close(pairs.masks(products), pairs.masks(whole))
    none = Pairs.of([Match(*torch.zeros(2, 0, dtype=torch.int64))] * 2, [2, 1], pairs.rows.device)
    assert none.masks(products).shape == (0, 8, 10)


@pytest.mark.parametrize(
    "config", [SetLossConfig(num_points=64), SetLossConfig(dense=True), MASKFORMER]
)
def test_the_loss_and_all_gradients_are_those_of_formed_masks(products, config):
    generator = torch.Generator().manual_seed(1)
    class_logits = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    targets = [
        MaskTargets(
            torch.randint(0, 3, (count,), generator=generator),
            torch.rand(count, 32, 40, generator=generator) > 0.5,
        )
        for count in (3, 0)
    ]
    found = []
    for masks in (products, formed(products)):
        head = SetPrediction(class_logits, masks)
        losses = set_loss([head, head], targets, config, generator=torch.Generator().manual_seed(2))
        gradients = torch.autograd.grad(
            sum(losses.values()), (products.embeds, products.features), retain_graph=True
        )
        found.append((*losses.values(), *gradients))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=2e-5, check_dtype=False)
