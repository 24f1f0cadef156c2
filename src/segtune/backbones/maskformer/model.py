"""MaskFormer (Cheng et al. 2021) whose queries give masks and vectors in the space of words.

The first stage of OVSeg (Liang et al. 2023), SimBaseline (Xu et al. 2022) and ZegFormer (Ding et
al. 2022): image encoder, FPN, DETR decoder over the coarsest map, mask head, and in place of a
classifier a head into the joint space of a CLIP, with one learned vector for "no object". Dropout
is left out. Official files: `keys`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import Proposals, fingerprint_of
from segtune.backbones.decoders.fpn import Fpn
from segtune.backbones.decoders.layers import FeedForward, MultiHeadAttention
from segtune.backbones.decoders.mask_head import mlp
from segtune.backbones.decoders.position import sine_positions
from segtune.backbones.encoders.resnet import ResNet, ResNetConfig
from segtune.backbones.encoders.swin import Swin, SwinConfig
from segtune.errors import SegtuneError
from segtune.ops.normalisation import IMAGENET

SCALE = 100.0
"""One over the temperature of all three systems."""


@dataclass(frozen=True)
class MaskFormerConfig:
    """Sizes of a model; the defaults are those of OVSeg with Swin-B and ViT-L/14.

    Attributes:
        image_encoder: Swin, or a ResNet.
        fpn_width: channels of the pixel decoder.
        mask_dim: channels of mask features and mask embeddings.
        hidden, num_heads, feedforward, num_layers: of the query decoder.
        num_queries: Q.
        joint_width: k, of the space that queries share with words.
        class_hidden: hidden width of the text-space head; None is one linear layer, ZegFormer's
            form, where the no-object vector is used as it is and not at unit length.
        groups: of every GroupNorm.
        dropout: of the query decoder, in training; the papers train with 0.1.
    """

    image_encoder: SwinConfig | ResNetConfig = field(default_factory=SwinConfig)
    fpn_width: int = 256
    mask_dim: int = 256
    hidden: int = 256
    num_heads: int = 8
    feedforward: int = 2048
    num_layers: int = 6
    num_queries: int = 100
    joint_width: int = 768
    class_hidden: int | None = 1024
    groups: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise SegtuneError(f"dropout={self.dropout}; expected 0 up to, not including, 1")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON; `from_dict` leads back."""
        kind = "swin" if isinstance(self.image_encoder, SwinConfig) else "resnet"
        return {**asdict(self), "image_encoder": {"kind": kind, **asdict(self.image_encoder)}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MaskFormerConfig:
        """Returns the config whose `to_dict` gave `values`."""
        sizes = dict(values["image_encoder"])
        encoder = {"swin": SwinConfig, "resnet": ResNetConfig}[sizes.pop("kind")]
        sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()}
        return cls(**{**values, "image_encoder": encoder(**sizes)})


class MaskFormer(nn.Module):
    """A frozen first stage; a `ProposalModel`.

    Args:
        config: sizes.
        name: of the weights.
        dense_size: shorter side of an image in pixels.

    Attributes:
        no_object: (k,) raw; what a query resembles that found nothing.

    Example:
        >>> import torch
        >>> from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
        >>> from segtune.backbones.encoders.swin import SwinConfig
        >>> swin = SwinConfig(8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window=4)
        >>> model = MaskFormer(MaskFormerConfig(swin, hidden=32, num_queries=5, joint_width=16))
        >>> found = model.propose(torch.zeros(1, 3, 64, 64))
        >>> found.mask_logits.shape, model.class_logits(found.query_embeds, torch.eye(16)[:3]).shape
        (torch.Size([1, 5, 16, 16]), torch.Size([1, 5, 4]))
    """

    stride = 32
    padding = IMAGENET.mean

    def __init__(
        self, config: MaskFormerConfig, *, name: str = "maskformer", dense_size: int = 640
    ) -> None:
        super().__init__()
        self.config, self.name, self.dense_size = config, name, dense_size
        encoder = config.image_encoder
        self.image_encoder = Swin(encoder) if isinstance(encoder, SwinConfig) else ResNet(encoder)
        self.pixel_decoder = Fpn(
            encoder.out_channels,
            hidden=config.fpn_width,
            mask_dim=config.mask_dim,
            groups=config.groups,
        )
        self.query_decoder = QueryDecoder(encoder.out_channels[-1], config)
        self.mask_head = mlp(config.hidden, config.hidden, config.hidden, config.mask_dim)
        head = [] if config.class_hidden is None else [config.class_hidden]
        self.text_head = mlp(config.hidden, *head, config.joint_width)
        self.no_object = nn.Parameter(torch.randn(config.joint_width) * config.joint_width**-0.5)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> MaskFormer:
        """Stays in eval mode while the weights are frozen; `requires_grad_` comes first."""
        return super().train(mode and self.no_object.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_object.device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.state_dict())

    @property
    def joint_width(self) -> int:
        """k, of the space that queries share with words."""
        return self.config.joint_width

    @torch.no_grad()
    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB; sides are multiples of 32.

        Masks are at a quarter of the input. How sure a query is depends on the words it is compared
        with, so there is no objectness: see `class_logits`.
        """
        return self.decode(*self.features(pixels))[-1]

    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what the queries look at.

        Args:
            pixels: (B, 3, H, W) RGB, 0..255; sides are multiples of 32.

        Returns:
            The coarsest map (B, C, H / 32, W / 32), and mask features (B, M, H / 4, W / 4).
        """
        maps = self.image_encoder(IMAGENET.apply(pixels).to(self.no_object.dtype))
        return maps[-1], self.pixel_decoder(maps)

    def decode(
        self, coarsest: Tensor, mask_features: Tensor, *, every_layer: bool = False
    ) -> list[Proposals]:
        """Returns the answers of the last layer of the query decoder, or of every layer in order.

        Every layer's output passes the same final LayerNorm and the same heads (deep supervision).
        """
        layers = self.query_decoder(coarsest)
        found = []
        for queries in layers if every_layer else layers[-1:]:
            masks = torch.einsum("bqc,bchw->bqhw", self.mask_head(queries), mask_features)
            found.append(Proposals(masks, self.text_head(queries)))
        return found

    def class_logits(self, query_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Returns (..., K + 1): 100 times the cosine with every word, and with "no object" last.

        Args:
            query_embeds: (..., k), not normalised.
            text_embeds: (K, k), unit length.
        """
        nothing: Tensor = self.no_object
        if self.config.class_hidden is not None:  # ZegFormer leaves it as it is
            nothing = F.normalize(nothing, dim=-1)
        words = torch.cat([text_embeds.to(nothing), nothing[None]])
        return SCALE * F.normalize(query_embeds, dim=-1) @ words.T


class QueryDecoder(nn.Module):
    """DETR's decoder: queries attend to each other, then to the coarsest map; all post-norm."""

    def __init__(self, in_channels: int, config: MaskFormerConfig) -> None:
        super().__init__()
        width, heads = config.hidden, config.num_heads
        self.input = nn.Conv2d(in_channels, width, 1)
        self.query_position = nn.Parameter(torch.randn(config.num_queries, width))
        self.layers = nn.ModuleList(
            _DecoderLayer(width, heads, config.feedforward, config.dropout)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, coarsest: Tensor) -> list[Tensor]:
        """Returns the queries after every layer, (B, Q, D) each; `coarsest` is (B, C, h, w)."""
        memory = self.input(coarsest)
        width, h, w = memory.shape[1:]
        positions = sine_positions(h, w, width // 2, device=memory.device, dtype=memory.dtype)
        memory, positions = memory.flatten(2).mT, positions.flatten(1).T  # (B, S, D), (S, D)
        places = self.query_position.expand(len(memory), -1, -1)
        x = torch.zeros_like(places)
        found = []
        for layer in self.layers:
            x = layer(x, places, memory + positions, memory)
            found.append(self.norm(x))
        return found


class _DecoderLayer(nn.Module):
    def __init__(self, width: int, num_heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(width, num_heads, dropout)
        self.cross = MultiHeadAttention(width, num_heads, dropout)
        self.feedforward = FeedForward(width, feedforward, dropout)

    def forward(self, x: Tensor, places: Tensor, placed_memory: Tensor, memory: Tensor) -> Tensor:
        """x, places and result: (B, Q, D). memory: (B, S, D); positions go to keys only."""
        placed = x + places
        own_keys, own_values = self.self_attention.keys_values(placed, x)
        x = self.self_attention(x, placed, own_keys, own_values, None)
        keys, values = self.cross.keys_values(placed_memory, memory)
        return self.feedforward(self.cross(x, x + places, keys, values, None))
