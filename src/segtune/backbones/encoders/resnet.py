"""ResNet with bottlenecks (He et al. 2016) as an image encoder: strides 4, 8, 16 and 32.

Two stems: one 7 x 7 convolution, or the three 3 x 3 ones of DeepLab ("R101c", whose last stage is
also dilated, one rate per block). The stride sits in the 3 x 3 convolution of a bottleneck, and
batch norm is frozen: an affine map of stored statistics, without gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a ResNet; the defaults are R101c.

    Attributes:
        depths: bottlenecks of res2..res5.
        stem: widths of the stem's convolutions: one or three.
        bottleneck: inner channels of res2; each later stage has twice as many.
        out: channels of res2; each later stage has twice as many.
        dilations: of the 3 x 3 convolutions of res5, one per block; ones for a plain ResNet.
    """

    depths: tuple[int, ...] = (3, 4, 23, 3)
    stem: tuple[int, ...] = (64, 64, 128)
    bottleneck: int = 64
    out: int = 256
    dilations: tuple[int, ...] = (1, 2, 4)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the four maps."""
        return tuple(self.out * 2**stage for stage in range(len(self.depths)))


class ResNet(nn.Module):
    """ResNet without its classifier.

    Example:
        >>> import torch
        >>> from segtune.backbones.encoders.resnet import ResNet, ResNetConfig
        >>> resnet = ResNet(ResNetConfig((1, 1, 1, 1), (8,), bottleneck=4, out=8, dilations=(1,)))
        >>> [tuple(x.shape[1:]) for x in resnet(torch.zeros(1, 3, 64, 64))]
        [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2)]
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        kernel = 7 if len(config.stem) == 1 else 3
        inputs = (3, *config.stem)
        self.stem = nn.ModuleList(
            _ConvNorm(before, after, kernel, stride=1 if i else 2)
            for i, (before, after) in enumerate(zip(inputs, config.stem, strict=False))
        )
        stages, before = [], config.stem[-1]
        for i, (depth, after) in enumerate(zip(config.depths, config.out_channels, strict=True)):
            is_last = i == len(config.depths) - 1
            dilations: Sequence[int] = config.dilations if is_last else (1,) * depth
            blocks = [
                _Bottleneck(
                    after if j else before,
                    config.bottleneck * 2**i,
                    after,
                    stride=2 if i and not j else 1,
                    dilation=dilation,
                )
                for j, dilation in zip(range(depth), dilations, strict=True)
            ]
            stages.append(nn.Sequential(*blocks))
            before = after
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns four maps (B, C, h, w), fine to coarse, of (B, 3, H, W) normalised images."""
        x = images
        for conv in self.stem:
            x = F.relu(conv(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class FrozenBatchNorm(nn.Module):
    """Batch norm by stored statistics and a stored affine map; nothing here is learned."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, torch.full((width,), float(value)))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class _ConvNorm(nn.Module):
    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            before,
            after,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        )
        self.norm = FrozenBatchNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 with a residual."""

    def __init__(self, before: int, inner: int, after: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        self.shortcut = _ConvNorm(before, after, 1, stride=stride) if before != after else None
        self.convs = nn.ModuleList(
            (
                _ConvNorm(before, inner, 1),
                _ConvNorm(inner, inner, 3, stride=stride, dilation=dilation),
                _ConvNorm(inner, after, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.shortcut is None else self.shortcut(x)
        first, second, third = self.convs
        return F.relu(third(F.relu(second(F.relu(first(x))))) + residual)
