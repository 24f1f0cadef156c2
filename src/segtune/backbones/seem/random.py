"""A small SEEM with random weights: for tests."""

from __future__ import annotations

from typing import Any

from segtune.backbones.seem.model import Seem, random_seem


def tiny_seem(*, seed: int = 0, tokenizer: Any = None) -> Seem:
    """Returns a SEEM with D = 32, k = 16, 6 queries and 3 layers, for whole images."""
    seem = random_seem(seed=seed)
    seem.tokenizer = tokenizer
    return seem
