"""Pixel decoders of MaskFormer (Cheng et al. 2021): a plain FPN, and one below a transformer.

`Fpn` is that of MaskFormer, OVSeg, SimBaseline and ZegFormer. `TransformerFpn` puts a transformer
encoder on the coarsest map first; SEEM and X-Decoder use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.layers import ConvGroupNorm
from segtune.backbones.decoders.position import sine_positions
from segtune.errors import SegtuneError


class TransformerFpn(nn.Module):
    """Turns the four maps of an image encoder into three maps for the decoder and one for masks.

    Args:
        in_channels: channels of res2..res5.
        hidden: channels of the maps for the decoder.
        mask_dim: channels of the map that mask embeddings are multiplied with.
        num_layers, num_heads, feedforward: of the transformer encoder.
        groups: of every GroupNorm.

    Example:
        >>> import torch
        >>> from segtune.backbones.decoders.fpn import TransformerFpn
        >>> decoder = TransformerFpn([4, 8, 8, 8], hidden=32, num_layers=1, num_heads=2)
        >>> maps = [torch.zeros(1, c, s, s) for c, s in [(4, 16), (8, 8), (8, 4), (8, 2)]]
        >>> multi_scale, mask_features = decoder(maps)
        >>> [level.shape[-1] for level in multi_scale], mask_features.shape
        ([2, 4, 8], torch.Size([1, 32, 16, 16]))
    """

    def __init__(
        self,
        in_channels: list[int] | tuple[int, ...],
        *,
        hidden: int = 512,
        mask_dim: int | None = None,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward: int = 2048,
        groups: int = 32,
    ) -> None:
        super().__init__()
        if hidden % num_heads or hidden % groups or hidden % 2:
            raise SegtuneError(
                f"hidden size {hidden} must be even and a multiple of {num_heads} (heads) and of "
                f"{groups} (GroupNorm groups)"
            )
        self.hidden = hidden
        self.input_proj = nn.Conv2d(in_channels[-1], hidden, 1)
        self.layers = nn.ModuleList(
            _EncoderLayer(hidden, num_heads, feedforward) for _ in range(num_layers)
        )
        # Coarse to fine. The coarsest map is the encoder's output and needs no lateral.
        self.laterals = nn.ModuleList(
            ConvGroupNorm(channels, hidden, kernel=1, groups=groups)
            for channels in reversed(in_channels[:-1])
        )
        self.outputs = nn.ModuleList(
            ConvGroupNorm(hidden, hidden, kernel=3, groups=groups) for _ in in_channels
        )
        self.mask_features = nn.Conv2d(hidden, mask_dim or hidden, 3, padding=1)

    def encode(self, coarsest: Tensor) -> Tensor:
        """Returns what the transformer encoder makes of res5 (B, C, h, w): (B, hidden, h, w)."""
        x = self.input_proj(coarsest)
        h, w = x.shape[-2:]
        positions = sine_positions(h, w, self.hidden // 2, device=x.device, dtype=x.dtype)
        positions = positions.flatten(1).T  # (h w, hidden)
        tokens = x.flatten(2).mT  # (B, h w, hidden)
        for layer in self.layers:
            tokens = layer(tokens, positions)
        return tokens.mT.unflatten(2, (h, w))

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Returns the maps for the decoder and for masks.

        Args:
            maps: res2..res5, each (B, C, h, w), fine to coarse, of the padded input.

        Returns:
            Coarse to fine, three (B, hidden, h, w) at the sizes of res5, res4 and res3; and
            (B, mask_dim, h, w) at the size of res2.
        """
        levels = _top_down(self.encode(maps[-1]), maps, self.laterals, self.outputs)
        return levels[:-1], self.mask_features(levels[-1])


class Fpn(nn.Module):
    """Turns the four maps of an image encoder into the map that mask embeddings look at.

    Args:
        in_channels: channels of res2..res5.
        hidden: channels of the running map.
        mask_dim: channels of the result.
        groups: of every GroupNorm.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        hidden: int = 256,
        mask_dim: int = 256,
        groups: int = 32,
    ) -> None:
        super().__init__()
        inputs = [in_channels[-1], *[hidden] * (len(in_channels) - 1)]
        self.laterals = nn.ModuleList(
            ConvGroupNorm(channels, hidden, kernel=1, groups=groups)
            for channels in reversed(in_channels[:-1])
        )
        self.outputs = nn.ModuleList(
            ConvGroupNorm(channels, hidden, kernel=3, groups=groups) for channels in inputs
        )
        self.mask_features = nn.Conv2d(hidden, mask_dim, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Returns (B, mask_dim, h, w) at the size of the first of the maps, res2..res5."""
        return self.mask_features(_top_down(maps[-1], maps, self.laterals, self.outputs)[-1])


def _top_down(
    x: Tensor, maps: Sequence[Tensor], laterals: nn.ModuleList, outputs: nn.ModuleList
) -> list[Tensor]:
    """Returns the running map at every level, coarse to fine, from what stands for the last map."""
    x = F.relu(outputs[0](x))
    levels = [x]
    for level, lateral, output in zip(reversed(maps[:-1]), laterals, outputs[1:], strict=True):
        x = F.interpolate(x, size=level.shape[-2:], mode="nearest")
        x = F.relu(output(x + lateral(level)))
        levels.append(x)
    return levels


class _EncoderLayer(nn.Module):
    """A post-norm transformer layer; positions are added to queries and keys only."""

    def __init__(self, width: int, num_heads: int, feedforward: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.shrink = nn.Linear(feedforward, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens and result: (B, N, D). positions: (N, D)."""
        tokens = self.norm1(tokens + self._attend(tokens, positions))
        return self.norm2(tokens + self.shrink(F.relu(self.expand(tokens))))

    def _attend(self, tokens: Tensor, positions: Tensor) -> Tensor:
        width = tokens.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        placed = tokens + positions
        query, key = F.linear(placed, weight[: 2 * width], bias[: 2 * width]).chunk(2, -1)
        value = F.linear(tokens, weight[2 * width :], bias[2 * width :])
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value)
        )  # (B, heads, N, D / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.project_out(mixed.transpose(1, 2).flatten(2))
