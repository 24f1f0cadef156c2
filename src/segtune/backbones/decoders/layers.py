"""The layers of decoders: attention and FFN of queries, each post-norm, and norms of maps.

`dropout` acts in training mode only and in the places of DETR: on attention weights, on hidden
units of the FFN, and on every branch before its residual.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class DecoderLayer(nn.Module):
    """Cross-attention, attention among queries and tokens, FFN; each post-norm."""

    def __init__(self, width: int, num_heads: int, feedforward: int) -> None:
        super().__init__()
        self.cross = MultiHeadAttention(width, num_heads)
        self.self_attention = MultiHeadAttention(width, num_heads)
        self.feedforward = FeedForward(width, feedforward)

    def among(self, content: Tensor, places: Tensor, own: int, is_open: Tensor | None) -> Tensor:
        """Returns the first `own` of the rows (G, N, D) after they have attended to all rows."""
        placed = content + places
        keys, values = self.self_attention.keys_values(placed, content)
        x = self.self_attention(content[:, :own], placed[:, :own], keys, values, is_open)
        return self.feedforward(x)


class MultiHeadAttention(nn.Module):
    """Multi-head attention with a residual and a LayerNorm after it."""

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.qkv.weight)

    def _projected(self, x: Tensor, part: int) -> Tensor:
        weight, bias = self.qkv.weight.chunk(3)[part], self.qkv.bias.chunk(3)[part]
        return F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def keys_values(self, placed: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """Returns keys and values, (B, heads, S, D / heads); `placed` includes positions."""
        return self._projected(placed, 1), self._projected(content, 2)

    def forward(
        self, x: Tensor, placed: Tensor, keys: Tensor, values: Tensor, is_open: Tensor | None
    ) -> Tensor:
        """x, placed and result: (B, Q, D). is_open: (B, 1, Q, S) bool, a row is never all False."""
        query = self._projected(placed, 0)
        share = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=is_open, dropout_p=share
        )
        branch = self.project_out(mixed.transpose(1, 2).flatten(2))
        return self.norm(x + F.dropout(branch, share, training=share > 0))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.expand = nn.Linear(width, hidden)
        self.shrink = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        share = self.dropout if self.training else 0.0
        hidden = F.dropout(F.relu(self.expand(x)), share, training=share > 0)
        return self.norm(x + F.dropout(self.shrink(hidden), share, training=share > 0))


class ConvGroupNorm(nn.Module):
    """A convolution without bias that keeps the size of the map, then GroupNorm."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of every position of a map (B, C, h, w)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
