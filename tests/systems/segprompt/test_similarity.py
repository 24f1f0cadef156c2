import pytest
import torch
import torch.nn.functional as F

from segtune.systems.segprompt import similarity
from segtune.systems.segprompt.prompts import PromptCache
from segtune.systems.segprompt.similarity import similarity_losses


def filled(classes: int) -> PromptCache:
    cache = PromptCache(num_classes=classes, width=4)
    states = torch.randn(1, classes, 4, generator=torch.Generator().manual_seed(0))
    cache.update(states, torch.arange(classes)[None])
    return cache


def test_off_while_the_cache_knows_few_classes_or_without_examples():
    states = torch.randn(1, 2, 4, requires_grad=True)
    for cache, ids in ((filled(3), [[0, 1]]), (filled(90), [[90, 90]])):
        losses = similarity_losses(states, torch.tensor(ids), cache)
        assert [loss.item() for loss in losses] == [0, 0]
        sum(losses).backward()


def test_by_hand(monkeypatch):
    monkeypatch.setattr(similarity, "ACTIVE_FROM", 2)
    cache, states = filled(3), torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(1))
    by_cache, by_batch = similarity_losses(states, torch.tensor([[1, 1, 3]]), cache)
    mean = states[0, :2].mean(0)
    rows = [F.cosine_similarity(mean, row, dim=0) for row in cache.rows[:3]]
    expected = sum(
        F.binary_cross_entropy_with_logits(value, torch.tensor(float(row == 1)))
        for row, value in enumerate(rows)
    )
    assert by_cache.item() == pytest.approx(expected.item(), rel=1e-5)
    pair = F.cosine_similarity(states[0, 0], states[0, 1], dim=0)
    expected = 2 * F.softplus(-pair) + 2 * F.softplus(-torch.tensor(1.0))
    assert by_batch.item() == pytest.approx(expected.item(), rel=1e-5)
