"""Low-rank additions to frozen matrices (Hu et al., ICLR 2022), as Uni-OVSeg's code has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """(alpha / r) B A: two small matrices that start as nothing.

    Args:
        in_width, out_width: of the matrix that they are added to.
        rank: r.
        alpha: weight of the whole; 1 in the released code.
    """

    def __init__(self, in_width: int, out_width: int, *, rank: int = 8, alpha: float = 1.0) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, in_width))
        self.up = nn.Parameter(torch.zeros(out_width, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_width) to (..., out_width)."""
        return self.scale * (x @ self.down.T) @ self.up.T

    def matrix(self) -> Tensor:
        """Returns what is added to the frozen matrix, (out_width, in_width)."""
        return self.scale * self.up @ self.down


def merged(linear: nn.Linear, low_rank: LowRank) -> nn.Linear:
    """Returns one layer that equals a frozen one with an addition; neither is changed."""
    both = nn.Linear(linear.in_features, linear.out_features, linear.bias is not None)
    both = both.to(linear.weight)
    with torch.no_grad():
        both.weight.copy_(linear.weight + low_rank.matrix())
        if linear.bias is not None:
            both.bias.copy_(linear.bias)
    return both.requires_grad_(False)
