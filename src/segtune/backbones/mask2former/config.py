"""Sizes of Mask2Former models: the published ones, and what tensors tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from torch import Tensor

from segtune.backbones.decoders.keys import deformable_sizes_from
from segtune.backbones.encoders.keys import encoder_config_from
from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.reading.key_tables import count_of, keys_under, shape_of
from segtune.errors import SegtuneError

RESNET50 = ResNetConfig((3, 4, 6, 3), stem=(64,), dilations=(1, 1, 1))
WHAT = "Mask2Former"


@dataclass(frozen=True)
class Mask2FormerConfig:
    """Sizes of a model; the defaults are those of R-50 on COCO instances.

    Attributes:
        image_encoder: a ResNet or a Swin.
        num_classes: K.
        class_agnostic: only class 0 means anything: "object". SegPrompt's files have 80 classes of
            which the others were never trained.
        num_queries: Q.
        hidden, feedforward, decoder_layers: of the masked-attention decoder.
        pixel_width: channels of the maps that the pixel decoder gives to the decoder.
        pixel_feedforward, pixel_layers, num_points: of the deformable encoder.
        mask_dim: channels of mask features and mask embeddings.
        num_heads: of both decoders.
        projects_maps: 1 x 1 convolutions between the two decoders, there where widths differ.
        groups: of every GroupNorm.
    """

    image_encoder: SwinConfig | ResNetConfig = field(default_factory=lambda: RESNET50)
    num_classes: int = 80
    class_agnostic: bool = False
    num_queries: int = 100
    hidden: int = 256
    feedforward: int = 2048
    decoder_layers: int = 9
    pixel_width: int = 256
    pixel_feedforward: int = 1024
    pixel_layers: int = 6
    num_points: int = 4
    mask_dim: int = 256
    num_heads: int = 8
    projects_maps: bool = False
    groups: int = 32

    def __post_init__(self) -> None:
        if self.pixel_width != self.hidden and not self.projects_maps:
            raise SegtuneError(
                f"pixel_width={self.pixel_width} and hidden={self.hidden} differ; pass "
                "projects_maps=True"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON; `from_dict` leads back."""
        kind = "swin" if isinstance(self.image_encoder, SwinConfig) else "resnet"
        return {**asdict(self), "image_encoder": {"kind": kind, **asdict(self.image_encoder)}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Mask2FormerConfig:
        """Returns the config whose `to_dict` gave `values`."""
        sizes = dict(values["image_encoder"])
        encoder = {"swin": SwinConfig, "resnet": ResNetConfig}[sizes.pop("kind")]
        sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()}
        return cls(**{**values, "image_encoder": encoder(**sizes)})


def config_from(
    own: Mapping[str, Tensor],
    *,
    num_heads: int = 8,
    groups: int = 32,
    class_agnostic: bool = False,
) -> Mask2FormerConfig:
    """Returns the sizes of a model, read from its tensors under our names.

    Args:
        num_heads, groups: not in the weights; the defaults are those of every published model.
        class_agnostic: see `Mask2FormerConfig`.

    Raises:
        WeightsError: it is no Mask2Former.
    """
    pixel = deformable_sizes_from(
        keys_under(own, "pixel_decoder."), num_heads=num_heads, groups=groups
    )
    decoder = decoder_sizes_from(keys_under(own, "decoder."), num_heads=num_heads)
    return Mask2FormerConfig(
        image_encoder=encoder_config_from(keys_under(own, "image_encoder.")),
        num_classes=decoder["num_classes"],
        class_agnostic=class_agnostic,
        num_queries=decoder["num_queries"],
        hidden=decoder["hidden"],
        feedforward=decoder["feedforward"],
        decoder_layers=decoder["num_layers"],
        pixel_width=pixel["hidden"],
        pixel_feedforward=pixel["feedforward"],
        pixel_layers=pixel["num_layers"],
        num_points=pixel["num_points"],
        mask_dim=decoder["mask_dim"],
        num_heads=num_heads,
        projects_maps=decoder["in_channels"] is not None,
        groups=groups,
    )


class DecoderSizes(TypedDict):
    """The arguments of a `MaskedDecoder` with fixed classes."""

    hidden: int
    num_queries: int
    num_layers: int
    num_heads: int
    feedforward: int
    mask_dim: int
    num_classes: int
    in_channels: int | None


def decoder_sizes_from(own: Mapping[str, Tensor], *, num_heads: int = 8) -> DecoderSizes:
    """Returns the sizes of a decoder, read from its tensors under our names.

    Args:
        num_heads: not in the weights; 8 in every published model.

    Raises:
        WeightsError: it is no decoder of a Mask2Former.
    """
    num_queries, hidden = shape_of(own, "query_content", WHAT)
    num_layers = count_of(own, r"layers\.(\d+)\.")
    first = "layers.0.feedforward.expand.weight"
    project = "input_proj.0.weight"
    return DecoderSizes(
        hidden=hidden,
        num_queries=num_queries,
        num_layers=num_layers,
        num_heads=num_heads,
        feedforward=shape_of(own, first, WHAT)[0] if num_layers else hidden,
        mask_dim=shape_of(own, "mask_mlp.4.weight", WHAT)[0],
        num_classes=shape_of(own, "class_linear.weight", WHAT)[0] - 1,
        in_channels=own[project].shape[1] if project in own else None,
    )
