"""DaViT (Ding et al. 2022) as SEEM and X-Decoder use it, over the blocks of `transformers`.

`Florence2VisionBackbone` has the same blocks but returns its last stage only; here its stages are
walked, and every one is returned. Channel attention scales by the number of tokens, so the maps of
an image depend on its resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.models.florence2.configuration_florence2 import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone

from segtune.errors import SegtuneError


@dataclass(frozen=True)
class DaViTConfig:
    """Sizes of a DaViT, one value per stage; the defaults are DaViT-d3 of SEEM.

    Attributes:
        channels: of the maps that the network returns, fine to coarse.
        depths: pairs of a spatial and a channel block.
        num_heads: of the window attention.
        num_groups: of the channel attention.
        patch_sizes, patch_strides, patch_padding: of the convolution that starts each stage.
        patch_prenorm: the LayerNorm of that convolution comes before it.
        window_size: side of an attention window, in cells.
        mlp_ratio: hidden width of the MLPs over their input width.
    """

    channels: tuple[int, ...] = (128, 256, 512, 1024)
    depths: tuple[int, ...] = (1, 1, 9, 1)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    num_groups: tuple[int, ...] = (4, 8, 16, 32)
    patch_sizes: tuple[int, ...] = (7, 2, 2, 2)
    patch_strides: tuple[int, ...] = (4, 2, 2, 2)
    patch_padding: tuple[int, ...] = (3, 0, 0, 0)
    patch_prenorm: tuple[bool, ...] = (False, True, True, True)
    window_size: int = 7
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        lengths = {len(value) for value in vars(self).values() if isinstance(value, tuple)}
        if len(lengths) != 1:
            raise SegtuneError(f"{self} has tuples of different lengths; give one value per stage")
        for name, parts in (("heads", self.num_heads), ("groups", self.num_groups)):
            if any(width % count for width, count in zip(self.channels, parts, strict=True)):
                raise SegtuneError(
                    f"channels {self.channels} cannot be split into {parts} {name}; give a divisor "
                    "of the channels of each stage"
                )


class DaViT(nn.Module):
    """Turns a normalised image into the raw maps of its four stages, at strides 4, 8, 16 and 32.

    Attributes:
        config: its sizes.
        channels: channels of the maps.

    Example:
        >>> import torch
        >>> from segtune.backbones.encoders.davit import DaViT, DaViTConfig
        >>> heads = (1, 2, 4, 8)
        >>> sizes = DaViTConfig((8, 16, 32, 64), (1, 1, 1, 1), num_heads=heads, num_groups=heads)
        >>> [tuple(level.shape) for level in DaViT(sizes)(torch.zeros(1, 3, 64, 96))][::3]
        [(1, 8, 16, 24), (1, 64, 2, 3)]
    """

    def __init__(self, config: DaViTConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        sizes = Florence2VisionConfig(
            embed_dim=config.channels,
            depths=config.depths,
            num_heads=config.num_heads,
            num_groups=config.num_groups,
            patch_size=config.patch_sizes,
            patch_stride=config.patch_strides,
            patch_padding=config.patch_padding,
            patch_prenorm=config.patch_prenorm,
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            drop_path_rate=0.0,
        )
        network: Any = Florence2VisionBackbone(sizes)
        self.convs, self.stages = network.convs, network.blocks

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns res2..res5, fine to coarse: (B, C_s, h, w), without a norm, up to hundreds.

        Args:
            pixels: (B, 3, H, W), normalised; H and W multiples of the total stride give h = H /
                stride, other sizes round as the convolutions do.
        """
        x = pixels
        levels = []
        for conv, blocks in zip(self.convs, self.stages, strict=True):
            x = conv(x)
            for block in blocks:
                x = block(x)
            levels.append(x)
        return levels
