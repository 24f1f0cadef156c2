"""ConvNeXt (Liu et al., CVPR 2022) as OpenCLIP's image towers use it, in plain torch.

Every stage is returned raw: the trunk has no norm after its last stage, which belongs to the head
that pools it. Being convolutions throughout, it takes any size; maps of a larger image are those of
a smaller one but for the borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.layers import ChannelNorm
from segtune.errors import SegtuneError

NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class ConvNextConfig:
    """Sizes of a ConvNeXt, one value per stage; the defaults are ConvNeXt-L.

    Attributes:
        depths: blocks.
        channels: of the maps, fine to coarse.
        kernel: side of the depthwise convolutions.
        mlp_ratio: hidden width of the MLPs over their input width.
    """

    depths: tuple[int, ...] = (3, 3, 27, 3)
    channels: tuple[int, ...] = (192, 384, 768, 1536)
    kernel: int = 7
    mlp_ratio: int = 4

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.channels) or not self.depths:
            raise SegtuneError(
                f"depths {self.depths} and channels {self.channels} of a ConvNeXt differ in "
                "length; give one number per stage to each"
            )

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the maps that the network returns, fine to coarse."""
        return self.channels


class ConvNext(nn.Module):
    """Turns a normalised image into the raw maps of its stages, at strides 4, 8, 16 and 32.

    Example:
        >>> import torch
        >>> from segtune.backbones.encoders.convnext import ConvNext, ConvNextConfig
        >>> net = ConvNext(ConvNextConfig((1, 1, 1, 1), (4, 8, 8, 16)))
        >>> [tuple(level.shape) for level in net(torch.zeros(1, 3, 64, 96))][::3]
        [(1, 4, 16, 24), (1, 16, 2, 3)]
    """

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        self.config = config
        first, *_ = config.channels
        # What comes before each stage: the patches, then halvings.
        self.downsamples = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3, first, 4, stride=4), ChannelNorm(first, NORM_EPSILON))]
        )
        self.downsamples.extend(
            nn.Sequential(ChannelNorm(before, NORM_EPSILON), nn.Conv2d(before, after, 2, stride=2))
            for before, after in pairwise(config.channels)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(channels, config) for _ in range(depth)))
            for depth, channels in zip(config.depths, config.channels, strict=True)
        )

    @property
    def stride(self) -> int:
        """Pixels of the input per position of the last map."""
        return int(2 ** (1 + len(self.downsamples)))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns the maps, fine to coarse: (B, C_s, H / stride, W / stride).

        Args:
            pixels: (B, 3, H, W), normalised; H and W multiples of `stride`.

        Raises:
            SegtuneError: a side is no multiple of the stride: pixels would be left out.
        """
        height, width = pixels.shape[-2:]
        if height % self.stride or width % self.stride:
            s = self.stride
            raise SegtuneError(
                f"input is {height}x{width} but a ConvNeXt needs multiples of {s}; resize or pad "
                f"to {-(-height // s) * s}x{-(-width // s) * s}"
            )
        x, levels = pixels, []
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
            levels.append(x)
        return levels


class _Block(nn.Module):
    """Depthwise convolution, LayerNorm, MLP, a factor per channel; with a residual."""

    def __init__(self, channels: int, config: ConvNextConfig) -> None:
        super().__init__()
        side = config.kernel
        self.conv = nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.expand = nn.Linear(channels, config.mlp_ratio * channels)
        self.shrink = nn.Linear(config.mlp_ratio * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (B, C, h, w)."""
        branch = self.norm(self.conv(x).permute(0, 2, 3, 1))  # (B, h, w, C)
        branch = self.shrink(F.gelu(self.expand(branch))) * self.scale
        return x + branch.permute(0, 3, 1, 2)
