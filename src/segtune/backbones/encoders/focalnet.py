"""FocalNet (Yang et al. 2022), in the two forms that SEEM and X-Decoder use.

The plain form ("focal", Focal-L) normalises each branch; the form with depthwise convolutions
("focal_dw", Focal-T) adds two 3x3 convolutions per block and normalises the sum. Left out: drop
path, patch embedding without overlap, normalisation inside the modulation.

Maps travel as (B, h, w, C), contiguous: linear layers and norms need no copy, and a convolution
sees the same memory as a channels-last map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.errors import SegtuneError


@dataclass(frozen=True)
class FocalNetConfig:
    """Sizes of a FocalNet; the defaults are Focal-T of SEEM.

    Attributes:
        embed_dim: channels of the first stage; every stage doubles them.
        depths: blocks per stage.
        focal_levels: context levels per stage.
        focal_windows: kernel of the first level per stage; each further level adds 2.
        depthwise: the "focal_dw" form; also decides where the post-norm sits.
        stem_padding: of the 7x7 convolution; None is 3 with `depthwise`, 2 without.
        post_norm: normalise after the modulation and the MLP instead of before.
        layer_scale: where the learned factor per channel on each branch starts; None has none.
        scaled_modulator: divide the summed context by the number of levels plus one.
        mlp_ratio: hidden width of the MLP over its input width.
    """

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    focal_levels: tuple[int, ...] = (3, 3, 3, 3)
    focal_windows: tuple[int, ...] = (3, 3, 3, 3)
    depthwise: bool = True
    stem_padding: int | None = None
    post_norm: bool = True
    layer_scale: float | None = 1e-4
    scaled_modulator: bool = True
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        lengths = {len(self.depths), len(self.focal_levels), len(self.focal_windows)}
        if len(lengths) != 1:
            raise SegtuneError(
                f"depths {self.depths}, focal_levels {self.focal_levels} and focal_windows "
                f"{self.focal_windows} differ in length; give one number per stage to each"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the maps that the network returns, fine to coarse."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.depths)))


class FocalNet(nn.Module):
    """Turns a normalised image into maps at strides 4, 8, 16 and 32, each after a LayerNorm.

    Attributes:
        config: its sizes.
        channels: channels of the maps.

    Example:
        >>> import torch
        >>> from segtune.backbones.encoders.focalnet import FocalNet, FocalNetConfig
        >>> net = FocalNet(FocalNetConfig(embed_dim=8, depths=(1, 1, 1, 1)))
        >>> [tuple(level.shape) for level in net(torch.zeros(1, 3, 64, 90))][::3]
        [(1, 8, 16, 23), (1, 64, 2, 3)]
    """

    def __init__(self, config: FocalNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        padding = config.stem_padding
        if padding is None:
            padding = 3 if config.depthwise else 2
        self.stem = _ConvNorm(3, config.embed_dim, kernel=7, stride=4, padding=padding)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(config, stage) for _ in range(depth)))
            for stage, depth in enumerate(config.depths)
        )
        self.downsamples = nn.ModuleList(
            _ConvNorm(channels, 2 * channels, kernel=3, stride=2, padding=1)
            for channels in self.channels[:-1]
        )
        self.output_norms = nn.ModuleList(nn.LayerNorm(channels) for channels in self.channels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns res2..res5, fine to coarse: (B, C_s, h, w) with h = ceil(H / stride).

        In memory the maps are channels-last, so `reshape` and `flatten` work and `view` may not.

        Args:
            pixels: (B, 3, H, W), normalised; any size of at least one pixel.
        """
        x = self.stem(pixels.permute(0, 2, 3, 1))  # (B, H/4, W/4, C)
        levels = []
        for index, (stage, norm) in enumerate(zip(self.stages, self.output_norms, strict=True)):
            if index:
                x = self.downsamples[index - 1](x)
            x = stage(x)
            levels.append(norm(x).permute(0, 3, 1, 2))
        return levels


class _Block(nn.Module):
    """Focal modulation and an MLP, each with a residual connection."""

    def __init__(self, config: FocalNetConfig, stage: int) -> None:
        super().__init__()
        channels = config.channels[stage]
        self.sums_normed = config.post_norm and config.depthwise
        self.branch_normed = config.post_norm and not config.depthwise
        self.conv1 = _depthwise(channels, 3) if config.depthwise else None
        self.modulation = FocalModulation(
            channels,
            levels=config.focal_levels[stage],
            window=config.focal_windows[stage],
            scaled=config.scaled_modulator,
        )
        self.norm1 = nn.LayerNorm(channels)
        self.conv2 = _depthwise(channels, 3) if config.depthwise else None
        self.mlp = _Mlp(channels, round(channels * config.mlp_ratio))
        self.norm2 = nn.LayerNorm(channels)
        self.scale1 = _layer_scale(channels, config.layer_scale)
        self.scale2 = _layer_scale(channels, config.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (B, h, w, C)."""
        if self.conv1 is not None:
            x = x + self.conv1(x)
        x = self._residual(x, self.modulation, self.norm1, self.scale1)
        if self.conv2 is not None:
            x = x + self.conv2(x)
        return self._residual(x, self.mlp, self.norm2, self.scale2)

    def _residual(
        self, x: Tensor, branch: nn.Module, norm: nn.Module, scale: Tensor | None
    ) -> Tensor:
        if self.sums_normed:  # norm(x + scale * branch(x))
            return norm(_add(x, branch(x), scale))
        if self.branch_normed:  # x + scale * norm(branch(x))
            return _add(x, norm(branch(x)), scale)
        return _add(x, branch(norm(x)), scale)


class FocalModulation(nn.Module):
    """Weighs every position by contexts of growing size around it (Yang et al. 2022, eq. 4-6)."""

    def __init__(self, channels: int, *, levels: int, window: int, scaled: bool) -> None:
        super().__init__()
        self.splits = (channels, channels, levels + 1)
        self.divisor = levels + 1 if scaled else 1
        self.project_in = nn.Linear(channels, sum(self.splits))
        self.contexts = nn.ModuleList(
            _depthwise(channels, window + 2 * level, bias=False) for level in range(levels)
        )
        self.mix = _Conv(channels, channels, 1)
        self.project_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (B, h, w, C)."""
        query, context, gates = self.project_in(x).split(self.splits, -1)
        total: Tensor | None = None
        for level, conv in enumerate(self.contexts):
            context = F.gelu(conv(context))
            gated = context * gates[..., level, None]
            total = gated if total is None else total + gated
        everywhere = F.gelu(context.mean((1, 2), keepdim=True)) * gates[..., -1:]
        total = everywhere if total is None else total + everywhere
        return self.project_out(query * self.mix(total / self.divisor))


class _Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, hidden)
        self.shrink = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.shrink(F.gelu(self.expand(x)))


class _Conv(nn.Conv2d):
    """A convolution of (B, h, w, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _ConvNorm(nn.Module):
    """A strided convolution of (B, h, w, C), padded to whole strides, and a LayerNorm."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv = _Conv(in_channels, out_channels, kernel, stride, padding)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = -x.shape[1] % self.stride, -x.shape[2] % self.stride
        if bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        return self.norm(self.conv(x))


def _depthwise(channels: int, kernel: int, *, bias: bool = True) -> _Conv:
    return _Conv(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=bias)


def _layer_scale(channels: int, value: float | None) -> nn.Parameter | None:
    return nn.Parameter(torch.full((channels,), float(value))) if value else None


def _add(x: Tensor, branch: Tensor, scale: Tensor | None) -> Tensor:
    return x + branch if scale is None else torch.addcmul(x, branch, scale)
