"""The deformable pixel decoder of Mask2Former (Cheng et al., CVPR 2022) and of Uni-OVSeg.

Tokens of the coarse maps of an image encoder read each other at a few learned points (Zhu et al.,
ICLR 2021); an FPN step per finer map follows. The two models differ in the norm of the incoming
maps and in the encoding of positions, which are given. Dropout is left out (zero in both).

Shape letters: B images, S tokens of all L levels, coarse to fine, C hidden width, P points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.layers import ConvGroupNorm
from segtune.backbones.decoders.position import FourierPositions, SinePositions, grid_centres
from segtune.errors import SegtuneError
from segtune.ops.deformable import ms_deform_attn


class DeformablePixelDecoder(nn.Module):
    """Turns the maps of an image encoder into maps for a decoder and one for masks.

    Always in the precision of its weights: coordinates do not bear half precision.

    Args:
        in_channels: channels of the maps, fine to coarse, such as res2..res5.
        hidden: C.
        mask_dim: channels of the map that mask embeddings are multiplied with.
        num_layers, num_heads, feedforward: of the deformable encoder.
        num_levels: L, the coarse maps that the encoder reads; the others are FPN steps.
        num_points: P, per head and level.
        norm: makes the norm of an incoming map from its number of channels; None takes GroupNorm.
        positions: encoding of positions; None takes `SinePositions(hidden)`.
        groups: of every GroupNorm.

    Example:
        >>> import torch
        >>> from segtune.backbones.decoders.deformable import DeformablePixelDecoder
        >>> decoder = DeformablePixelDecoder([4, 8, 8, 8], hidden=32, num_layers=1)
        >>> maps = [torch.zeros(1, c, s, s) for c, s in [(4, 16), (8, 8), (8, 4), (8, 2)]]
        >>> multi_scale, mask_features = decoder(maps)
        >>> [level.shape[-1] for level in multi_scale], mask_features.shape
        ([2, 4, 8], torch.Size([1, 256, 16, 16]))
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        hidden: int = 256,
        mask_dim: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward: int = 1024,
        num_levels: int = 3,
        num_points: int = 4,
        norm: Callable[[int], nn.Module] | None = None,
        positions: SinePositions | FourierPositions | None = None,
        groups: int = 32,
    ) -> None:
        super().__init__()
        if hidden % num_heads or hidden % groups or hidden % 2:
            raise SegtuneError(
                f"hidden size {hidden} must be even and a multiple of {num_heads} (heads) and of "
                f"{groups} (GroupNorm groups)"
            )
        self.num_levels = num_levels
        norm = norm or (lambda channels: nn.GroupNorm(groups, channels))
        coarse, fine = in_channels[::-1][:num_levels], in_channels[::-1][num_levels:]
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, hidden, 1), norm(hidden)) for channels in coarse
        )
        self.positions = positions or SinePositions(hidden)
        self.level_embeds = nn.Parameter(torch.randn(num_levels, hidden))
        self.layers = nn.ModuleList(
            DeformableLayer(hidden, num_heads, feedforward, num_levels, num_points)
            for _ in range(num_layers)
        )
        # Coarse to fine, as everything that is called a level.
        self.laterals = nn.ModuleList(
            ConvGroupNorm(channels, hidden, kernel=1, groups=groups) for channels in fine
        )
        self.outputs = nn.ModuleList(
            ConvGroupNorm(hidden, hidden, kernel=3, groups=groups) for _ in fine
        )
        self.mask_features = nn.Conv2d(hidden, mask_dim, 1)
        self._start()

    def _start(self) -> None:
        """Sets the published initial values of the convolutions; layers set their own."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                if name.startswith("inputs."):
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Returns what the encoder makes of the coarse maps, (B, C, h, w) each, coarse to fine.

        Args:
            maps: all of them, fine to coarse; only the last L are read.
        """
        levels = maps[::-1][: self.num_levels]
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        tokens = torch.cat(
            [project(x).flatten(2).mT for project, x in zip(self.inputs, levels, strict=True)], 1
        )
        places = torch.cat(
            [
                self.positions(tokens, size).flatten(1).T + embed
                for size, embed in zip(sizes, self.level_embeds, strict=True)
            ]
        )
        centres = torch.cat([grid_centres(tokens, size).flatten(0, 1) for size in sizes])
        for layer in self.layers:
            tokens = layer(tokens, places, centres, sizes)
        parts = tokens.split([h * w for h, w in sizes], 1)
        return [part.mT.unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Returns the maps for the decoder and for masks.

        Args:
            maps: each (B, channels, h, w), fine to coarse, of the padded input.

        Returns:
            L maps (B, C, h, w), coarse to fine, at the sizes of the last L maps; and
            (B, mask_dim, h, w) at the size of the first.
        """
        with torch.autocast(maps[0].device.type, enabled=False):
            maps = [x.to(self.level_embeds.dtype) for x in maps]
            levels = self.encode(maps)
            x = levels[-1]
            finer = maps[::-1][self.num_levels :]
            for level, lateral, output in zip(finer, self.laterals, self.outputs, strict=True):
                x = F.interpolate(x, level.shape[-2:], mode="bilinear", align_corners=False)
                x = F.relu(output(lateral(level) + x))
            return levels, self.mask_features(x)


class DeformableLayer(nn.Module):
    """Deformable attention among tokens, then an FFN; both post-norm."""

    def __init__(
        self, width: int, num_heads: int, feedforward: int, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, num_heads, num_levels, num_points)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.shrink = nn.Linear(feedforward, width)
        self.norm2 = nn.LayerNorm(width)
        for linear in (self.expand, self.shrink):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, tokens: Tensor, places: Tensor, centres: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """tokens and result: (B, S, C). places: (S, C). centres: (S, 2). sizes: of each level."""
        mixed = self.attention(tokens + places, centres, tokens, sizes)
        tokens = self.norm1(tokens + mixed)
        return self.norm2(tokens + self.shrink(F.relu(self.expand(tokens))))


class DeformableAttention(nn.Module):
    """Every query reads P points per head and level around its own place.

    Args:
        width: C.
        num_levels, num_points: L and P.
    """

    def __init__(self, width: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.shape = (num_heads, num_levels, num_points)
        count = math.prod(self.shape)
        self.offsets = nn.Linear(width, 2 * count)
        self.shares = nn.Linear(width, count)
        self.values = nn.Linear(width, width)
        self.project_out = nn.Linear(width, width)
        self._start()

    def _start(self) -> None:
        """Points start on rays, one direction per head, further out one by one; equal shares."""
        num_heads, num_levels, num_points = self.shape
        angles = 2 * math.pi * torch.arange(num_heads) / num_heads
        rays = torch.stack([angles.cos(), angles.sin()], -1)
        rays = rays / rays.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, num_points + 1)[:, None]
        start = (rays[:, None, None] * steps).expand(-1, num_levels, -1, -1)
        with torch.no_grad():
            self.offsets.bias.copy_(start.flatten())
        for part in (self.offsets.weight, self.shares.weight, self.shares.bias):
            nn.init.zeros_(part)
        for linear in (self.values, self.project_out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, queries: Tensor, places: Tensor, tokens: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Returns (B, Q, C).

        Args:
            queries: (B, Q, C), positions included.
            places: (Q, 2), (x, y) in 0..1 of the model input.
            tokens: (B, S, C), what is read.
            sizes: (h, w) of every level.
        """
        num_heads, num_levels, num_points = self.shape
        offsets = self.offsets(queries).unflatten(-1, (*self.shape, 2))  # in positions of the level
        shares = self.shares(queries).unflatten(-1, (num_heads, -1)).softmax(-1)
        extent = offsets.new_tensor([(w, h) for h, w in sizes])[:, None]
        points = places[:, None, None, None] + offsets / extent  # (B, Q, heads, L, P, 2)
        values = self.values(tokens).unflatten(-1, (num_heads, -1))
        shares = shares.unflatten(-1, (num_levels, num_points))
        return self.project_out(ms_deform_attn(values, sizes, points, shares))
