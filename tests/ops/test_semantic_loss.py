from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.semantic_loss import nearest_labels, semantic_loss
from tests.goldens import close, goldens

FORMS = ["nll", "score", "logsumexp"]


def _problem(*, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two images, six queries, four classes, masks of 5 x 6 and labels of the same size."""
    generator = torch.Generator().manual_seed(seed)
    class_logits = 2 * torch.randn(2, 6, 5, generator=generator)
    mask_logits = 3 * torch.randn(2, 6, 5, 6, generator=generator)
    labels = torch.randint(-2, 4, (2, 5, 6), generator=generator)
    return class_logits.requires_grad_(), mask_logits.requires_grad_(), labels


def _plain(class_logits: Tensor, mask_logits: Tensor, labels: Tensor, form: str) -> Tensor:
    """The same loss, pixel by pixel and class by class."""
    losses = []
    for b, y, x in (labels >= 0).nonzero().tolist():
        class_probs = class_logits[b].softmax(1)[:, :-1]
        scores = (class_probs * mask_logits[b, :, y, x].sigmoid()[:, None]).sum(0)
        if form == "nll":
            scores = scores.clamp(min=1e-6)
            losses.append(-(scores / scores.sum()).log()[labels[b, y, x]])
        else:
            logits = scores if form == "score" else scores.log()
            losses.append(F.cross_entropy(logits[None], labels[b, y, x][None]))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values_at_once", [1 << 25, 50, 1])
def test_values_and_gradients_are_those_of_the_plain_version(form, values_at_once) -> None:
    class_logits, mask_logits, labels = _problem()
    loss = semantic_loss(
        class_logits, mask_logits, labels, form=form, values_at_once=values_at_once
    )
    expected = _plain(class_logits, mask_logits, labels, form)
    torch.testing.assert_close(loss, expected)
    inputs = (class_logits, mask_logits)
    gradients = torch.autograd.grad(loss, inputs)
    for actual, slow in zip(gradients, torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(actual, slow)
    assert not gradients[1].movedim(1, -1)[labels < 0].any()  # ignored pixels have no say


@pytest.mark.parametrize("form", FORMS)
def test_at_labels_resizes_the_logits(form) -> None:
    class_logits, mask_logits, _ = _problem()
    labels = torch.randint(-1, 4, (2, 9, 13), generator=torch.Generator().manual_seed(4))
    larger = F.interpolate(mask_logits, (9, 13), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        semantic_loss(class_logits, mask_logits, labels, form=form, at="labels"),
        _plain(class_logits, larger, labels, form),
    )


@pytest.mark.parametrize("form", FORMS)
def test_at_masks_takes_the_nearest_labels(form) -> None:
    class_logits, mask_logits, labels = _problem()
    larger = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert semantic_loss(class_logits, mask_logits, larger, form=form) == semantic_loss(
        class_logits, mask_logits, labels, form=form
    )


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (8, 8), (16, 5), (1, 1)])
def test_nearest_labels_is_the_exact_one_of_torch(size) -> None:
    labels = torch.randint(-1, 9, (2, 8, 10), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels[:, None].double(), size, mode="nearest-exact")[:, 0].long()
    assert torch.equal(nearest_labels(labels, size), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values_at_once", [1 << 25, 50])
def test_class_balance_moves_the_mean_from_pixels_to_classes(form, values_at_once) -> None:
    class_logits, mask_logits, labels = _problem()

    def balanced(strength: float) -> Tensor:
        return semantic_loss(
            class_logits,
            mask_logits,
            labels,
            form=form,
            class_balance=strength,
            values_at_once=values_at_once,
        )

    ids = labels.unique()
    ids = ids[ids >= 0]
    per_class = torch.stack(
        [_plain(class_logits, mask_logits, labels.masked_fill(labels != i, -1), form) for i in ids]
    )
    counts = torch.stack([(labels == i).sum() for i in ids])
    torch.testing.assert_close(balanced(1.0), per_class.mean())
    roots = counts.sqrt()
    torch.testing.assert_close(balanced(0.5), (roots * per_class).sum() / roots.sum())
    torch.testing.assert_close(balanced(0.0), (counts * per_class).sum() / counts.sum())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at", ["masks", "labels"])
def test_nothing_labelled_is_zero_with_a_graph(form, at) -> None:
    class_logits, mask_logits, labels = _problem()
    loss = semantic_loss(class_logits, mask_logits, torch.full_like(labels, -1), form=form, at=at)
    loss.backward()
    assert loss == 0
    assert not class_logits.grad.any()
    assert not mask_logits.grad.any()


def test_logsumexp_is_nll_without_the_floor_and_keeps_small_gradients() -> None:
    class_logits, mask_logits, labels = _problem()
    torch.testing.assert_close(
        semantic_loss(class_logits, mask_logits, labels, form="logsumexp"),
        semantic_loss(class_logits, mask_logits, labels, form="nll"),
    )
    dark = torch.full((1, 2, 1, 1), -40.0, requires_grad=True)
    label = torch.zeros(1, 1, 1, dtype=torch.int64)
    scores = torch.tensor([[[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]]])
    for form, reaches in [("nll", False), ("logsumexp", True)]:
        gradient = torch.autograd.grad(semantic_loss(scores, dark, label, form=form), dark)[0]
        assert bool(gradient.any()) == reaches
        assert gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_extreme_logits_stay_finite_and_half_precision_is_float32(form) -> None:
    class_logits, mask_logits, labels = _problem()
    loss = semantic_loss(1e4 * class_logits, 1e4 * mask_logits, labels, form=form)
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (class_logits, mask_logits)))
    half = semantic_loss(class_logits.half(), mask_logits.half(), labels, form=form)
    assert half.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = semantic_loss(class_logits, mask_logits, labels, form=form)
    assert mixed == semantic_loss(class_logits, mask_logits, labels, form=form)


@pytest.mark.parametrize("wrong", [{"form": "focal"}, {"at": "pixels"}, {"class_balance": 2.0}])
def test_unknown_choices(wrong) -> None:
    with pytest.raises(ValueError, match="expected"):
        semantic_loss(*_problem(), **wrong)


@pytest.mark.golden
def test_scores_and_default_loss_are_the_official_ones() -> None:
    for golden in goldens("seem_decoder"):
        class_logits, mask_logits = golden["out/seg/pred_logits"], golden["out/seg/pred_masks"]
        labels = golden["in/semantic_target"]
        loss = semantic_loss(class_logits, mask_logits, labels.masked_fill(labels == 255, -1))
        close(loss, golden["out/grad/loss"])
