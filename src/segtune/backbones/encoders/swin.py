"""Swin Transformer (Liu et al. 2021) as an image encoder: four maps at strides 4, 8, 16 and 32.

The form of detection and segmentation code: maps of any size, padded to whole windows after the
first norm of a block; windows keep their size on small maps; a LayerNorm on each output. Stochastic
depth (Huang et al. 2016) in training mode only; dropout is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.errors import SegtuneError

PATCH = 4


@dataclass(frozen=True)
class SwinConfig:
    """Sizes of a Swin; the defaults are Swin-B with windows of 12.

    Attributes:
        embed_dim: channels of the first stage; each later one has twice as many.
        depths: blocks per stage, an even block and a shifted one in turn.
        num_heads: attention heads per stage.
        window: side of the attention windows, in tokens.
        mlp_ratio: hidden width of the MLPs over the width of the stage.
        drop_path: in training, the probability that an image skips a branch of the last block; it
            rises linearly over all blocks, from 0 at the first.
    """

    embed_dim: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.drop_path < 1:
            raise SegtuneError(f"drop_path={self.drop_path}; expected 0 up to, not including, 1")

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the four maps."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.depths)))

    @property
    def drop_paths(self) -> tuple[float, ...]:
        """Drop probability of every block, in order.

        Example:
            >>> SwinConfig(depths=(1, 1, 2, 1), drop_path=0.5).drop_paths
            (0.0, 0.125, 0.25, 0.375, 0.5)
        """
        last = max(sum(self.depths) - 1, 1)
        return tuple(self.drop_path * i / last for i in range(sum(self.depths)))


class Swin(nn.Module):
    """Swin without its classifier.

    Example:
        >>> import torch
        >>> from segtune.backbones.encoders.swin import Swin, SwinConfig
        >>> swin = Swin(SwinConfig(8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window=4))
        >>> [tuple(x.shape[1:]) for x in swin(torch.zeros(1, 3, 64, 64))]
        [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2)]
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        widths = config.out_channels
        self.patches = nn.Conv2d(3, config.embed_dim, PATCH, PATCH)
        self.patch_norm = nn.LayerNorm(config.embed_dim)
        drop_paths = iter(config.drop_paths)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    _Block(
                        width,
                        heads,
                        window=config.window,
                        shift=config.window // 2 if i % 2 else 0,
                        hidden=int(width * config.mlp_ratio),
                        drop_path=next(drop_paths),
                    )
                    for i in range(depth)
                )
            )
            for width, depth, heads in zip(widths, config.depths, config.num_heads, strict=True)
        )
        self.merges = nn.ModuleList(_Merge(width) for width in widths[:-1])
        self.output_norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns four maps (B, C, h, w), fine to coarse.

        Args:
            images: (B, 3, H, W), normalised; any size, best multiples of 32.
        """
        height, width = images.shape[-2:]
        x = self.patches(F.pad(images, (0, -width % PATCH, 0, -height % PATCH)))
        x = self.patch_norm(x.permute(0, 2, 3, 1))  # (B, h, w, C)
        maps = []
        for i, (stage, norm) in enumerate(zip(self.stages, self.output_norms, strict=True)):
            if i:
                x = self.merges[i - 1](x)
            x = stage(x)
            maps.append(norm(x).permute(0, 3, 1, 2).contiguous())
        return maps


class _Block(nn.Module):
    """Attention inside windows, then an MLP; both pre-norm with a residual."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        window: int,
        shift: int,
        hidden: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.window, self.shift, self.drop_path = window, shift, drop_path
        self.norm1 = nn.LayerNorm(width)
        self.attention = _WindowAttention(width, num_heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.shrink = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (B, h, w, C)."""
        x = x + self._kept(self._attend(self.norm1(x)))
        return x + self._kept(self.shrink(F.gelu(self.expand(self.norm2(x)))))

    def _kept(self, branch: Tensor) -> Tensor:
        """Drops the branch of random images in training; the rest is scaled to the same mean."""
        if not (self.training and self.drop_path):
            return branch
        share = 1 - self.drop_path
        kept = torch.rand(len(branch), 1, 1, 1, device=branch.device) < share
        return branch * (kept / share).to(branch.dtype)

    def _attend(self, x: Tensor) -> Tensor:
        size, shift = self.window, self.shift
        num_images, height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
        rows, columns = x.shape[1] // size, x.shape[2] // size
        is_open = None
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
            is_open = same_region(rows, columns, size, shift, x.device)  # (windows, T, T)
        x = x.view(num_images, rows, size, columns, size, channels).transpose(2, 3)
        x = self.attention(x.reshape(num_images, rows * columns, size * size, channels), is_open)
        x = x.view(num_images, rows, columns, size, size, channels).transpose(2, 3)
        x = x.reshape(num_images, rows * size, columns * size, channels)
        if shift:
            x = x.roll((shift, shift), (1, 2))
        return x[:, :height, :width]


class _WindowAttention(nn.Module):
    """Multi-head attention with a learned bias per head and offset between two tokens."""

    offsets: Tensor  # (T, T) int64, row of the bias table

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        dy, dx = y[:, None] - y + window - 1, x[:, None] - x + window - 1
        self.register_buffer("offsets", dy * (2 * window - 1) + dx, persistent=False)

    def forward(self, x: Tensor, is_open: Tensor | None) -> Tensor:
        """x and result: (B, windows, T, C). is_open: (windows, T, T) bool."""
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(2, 3)
            for part in self.qkv(x).chunk(3, -1)
        )  # (B, windows, heads, T, C / heads)
        bias = self.bias_table[self.offsets].permute(2, 0, 1)  # (heads, T, T)
        if is_open is not None:
            bias = bias + torch.where(is_open, 0.0, -100.0).to(bias.dtype)[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.project_out(mixed.transpose(2, 3).flatten(3))


class _Merge(nn.Module):
    """Halves a map: the four tokens of a 2 x 2 square become one of twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, h, w, C); result: (B, h / 2, w / 2, 2 C), rounded up."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = [x[:, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
        return self.reduce(self.norm(torch.cat(corners, -1)))


def same_region(rows: int, columns: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Returns which tokens of a window were neighbours before the shift, (windows, T, T) bool."""

    def ids(count: int) -> Tensor:
        at = torch.arange(count * window, device=device)
        return (at >= (count - 1) * window).long() + (at >= count * window - shift)

    regions = ids(rows)[:, None] * 3 + ids(columns)  # (rows * window, columns * window)
    regions = regions.view(rows, window, columns, window).transpose(1, 2).reshape(-1, window**2)
    return regions[:, :, None] == regions[:, None]
