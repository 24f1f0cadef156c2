import math

import pytest
import torch
from torch.nn import functional as F

from segtune.trainers.bundled.clip.loss import contrast


def test_equals_clip_when_every_row_has_its_own_caption() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, texts = torch.randn(2, 5, 8, generator=generator)
    own, scale = torch.arange(5), torch.tensor(7.0)
    logits = scale * F.normalize(rows, dim=-1) @ F.normalize(texts, dim=-1).T
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    found = contrast(rows, texts, own=own, true=torch.eye(5).bool(), logit_scale=scale)
    torch.testing.assert_close(found, expected)


def test_equals_the_formula_with_shared_and_partial_captions() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(4, 3, generator=generator)
    texts = torch.randn(3, 3, generator=generator)
    own = torch.tensor([0, 0, 1, 2])
    true = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).bool()
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    logits = (3.0 * F.normalize(rows, dim=-1) @ F.normalize(texts, dim=-1).T).tolist()
    total = 0.0
    for r in range(4):
        t = int(own[r])
        positive = math.exp(logits[r][t])
        texts_against = sum(math.exp(logits[r][k]) for k in range(3) if not true[r, k])
        rows_against = sum(math.exp(logits[k][t]) for k in range(4) if not true[k, t])
        total -= weights[r].item() * 0.5 * math.log(positive / (positive + texts_against))
        total -= weights[r].item() * 0.5 * math.log(positive / (positive + rows_against))
    found = contrast(
        rows, texts, own=own, true=true, logit_scale=torch.tensor(3.0), weights=weights
    )
    assert found.item() == pytest.approx(total / 10, rel=1e-5)


def test_nothing_to_tell_apart_costs_nothing() -> None:
    rows = torch.randn(3, 4, requires_grad=True)
    loss = contrast(
        rows,
        torch.randn(1, 4),
        own=torch.zeros(3, dtype=torch.int64),
        true=torch.ones(3, 1, dtype=torch.bool),
        logit_scale=torch.tensor(10.0),
    )
    loss.backward()
    assert loss.item() == 0
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_is_computed_in_float32() -> None:
    rows = torch.randn(3, 4).bfloat16()
    loss = contrast(
        rows,
        rows,
        own=torch.arange(3),
        true=torch.eye(3).bool(),
        logit_scale=torch.tensor(100.0),
    )
    assert loss.dtype == torch.float32
