"""What is learned, as it is stored: the adapter, or nothing."""

from __future__ import annotations

import torch
from torch import nn

from segtune.backbones.uniovseg.model import UniOvseg
from segtune.systems.uniovseg.adapter import FeatureAdapter
from segtune.systems.uniovseg.config import UniOvsegSettings


def fresh_prompts(model: UniOvseg, config: UniOvsegSettings, *, seed: int) -> nn.Module:
    """Returns a fresh adapter, on the device of the model, or a module without a number.

    Args:
        seed: of the first of two matrices of every scale; the second is zero.
    """
    if config.learns == "nothing":
        return nn.Module()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = FeatureAdapter(
            model.config, rank=config.rank, alpha=config.alpha, adapts_head=config.adapts_head
        )
    return adapter.to(model.device)
