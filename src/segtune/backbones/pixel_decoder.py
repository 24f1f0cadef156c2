"""The pixel decoder of SEEM and X-Decoder: a transformer encoder on the coarsest map, then an FPN.

MaskFormer (Cheng et al. 2021) calls it the transformer-encoder pixel decoder.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.position import sine_positions
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
        >>> from segtune.backbones.pixel_decoder import TransformerFpn
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
            _ConvGroupNorm(channels, hidden, kernel=1, groups=groups)
            for channels in reversed(in_channels[:-1])
        )
        self.outputs = nn.ModuleList(
            _ConvGroupNorm(hidden, hidden, kernel=3, groups=groups) for _ in in_channels
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
        x = F.relu(self.outputs[0](self.encode(maps[-1])))
        levels = [x]
        finer = zip(reversed(maps[:-1]), self.laterals, self.outputs[1:], strict=True)
        for level, lateral, output in finer:
            x = F.interpolate(x, size=level.shape[-2:], mode="nearest")
            x = F.relu(output(x + lateral(level)))
            levels.append(x)
        return levels[:-1], self.mask_features(x)


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


class _ConvGroupNorm(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
