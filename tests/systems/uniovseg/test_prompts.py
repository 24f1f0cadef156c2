import torch

from segtune.backbones.uniovseg.random import random_uniovseg
from segtune.systems.uniovseg.adapter import FeatureAdapter
from segtune.systems.uniovseg.config import UniOvsegSettings
from segtune.systems.uniovseg.prompts import fresh_prompts


def test_an_adapter_or_nothing():
    model, before = random_uniovseg(), torch.random.get_rng_state()
    adapter = fresh_prompts(model, UniOvsegSettings(rank=2, alpha=3.0, adapts_head=True), seed=0)
    assert isinstance(adapter, FeatureAdapter)
    assert adapter.scale == 1.5
    assert len(adapter.head) == 2
    assert not list(fresh_prompts(model, UniOvsegSettings(learns="nothing"), seed=0).parameters())
    assert torch.equal(torch.random.get_rng_state(), before)
