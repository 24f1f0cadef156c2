"""Sizes of SEEM and X-Decoder models: the published ones, and what a checkpoint tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from torch import Tensor

from segtune.backbones.decoders.keys import PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX
from segtune.backbones.encoders.davit import DaViTConfig
from segtune.backbones.encoders.focalnet import FocalNetConfig
from segtune.backbones.encoders.keys import (
    IMAGE_ENCODER_PREFIX,
    davit_config_from,
    focalnet_config_from,
)
from segtune.backbones.reading.key_tables import keys_under
from segtune.backbones.seem.decoder_keys import decoder_sizes_from, is_x_decoder
from segtune.backbones.seem.keys import TEXT_PREFIX, pixel_decoder_config_from, text_config_from
from segtune.backbones.seem.text import SeemTextConfig
from segtune.errors import WeightsError

_ENCODERS = {"focalnet": FocalNetConfig, "davit": DaViTConfig}


@dataclass(frozen=True)
class SeemConfig:
    """Sizes of a whole model; the defaults are SEEM Focal-T, and common to all but the encoder.

    Attributes:
        image_encoder: which encoder, and its sizes.
        text: sizes of the text tower; its `joint_width` is that of the classifier.
        hidden, mask_dim: widths of the decoder and of the mask features.
        num_heads: of the pixel decoder and of the decoder.
        pixel_layers, pixel_feedforward, groups: transformer layers, their hidden width, and groups
            of every GroupNorm, in the pixel decoder.
        decoder_layers, feedforward: of the masked-attention decoder.
        num_queries: rows of the query tables.
        has_points: the model takes point prompts (SEEM); X-Decoder does not.
        has_image_query: the last query stands for the whole image and gives no mask (X-Decoder).
        num_slots: memory slots between rounds of clicks, carried along unused.
    """

    image_encoder: FocalNetConfig | DaViTConfig = field(default_factory=FocalNetConfig)
    text: SeemTextConfig = field(default_factory=SeemTextConfig)
    hidden: int = 512
    mask_dim: int = 512
    num_heads: int = 8
    pixel_layers: int = 6
    pixel_feedforward: int = 2048
    groups: int = 32
    decoder_layers: int = 9
    feedforward: int = 2048
    num_queries: int = 101
    has_points: bool = True
    has_image_query: bool = False
    num_slots: int = 32

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for a config file."""
        encoder = next(k for k, kind in _ENCODERS.items() if isinstance(self.image_encoder, kind))
        values = asdict(self)
        values["image_encoder"] = {"type": encoder, **values["image_encoder"]}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SeemConfig:
        """Returns the config that `to_dict` gave.

        Raises:
            WeightsError: an encoder type or a size is unknown.
        """
        encoder = dict(values.get("image_encoder", {}))
        kind = encoder.pop("type", "focalnet")
        if kind not in _ENCODERS:
            raise WeightsError(f"unknown image encoder {kind!r}; expected one of {list(_ENCODERS)}")
        sizes = dict(values)
        sizes["image_encoder"] = _built(_ENCODERS[kind], encoder)
        sizes["text"] = _built(SeemTextConfig, values.get("text", {}))
        return _built(cls, sizes)


def _built(kind: type, values: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise WeightsError(f"unknown sizes {unknown} of a {kind.__name__}; known: {sorted(known)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


SEEM_FOCAL_T = SeemConfig()
SEEM_FOCAL_L = SeemConfig(
    FocalNetConfig(embed_dim=192, depths=(2, 2, 18, 2), focal_levels=(4, 4, 4, 4), depthwise=False)
)
SEEM_DAVIT_D3 = SeemConfig(DaViTConfig())
SEEM_DAVIT_D5 = SeemConfig(
    DaViTConfig(
        channels=(256, 512, 1024, 2048),
        num_heads=(8, 16, 32, 64),
        num_groups=(8, 16, 32, 64),
        patch_sizes=(7, 3, 3, 3),
        patch_padding=(3, 1, 1, 1),
    )
)
"""DaViT-d5 is the "Large" model of the SSPrompt paper; no SEEM weights of it were published."""


def seem_config_from(
    state: Mapping[str, Tensor], *, num_heads: int = 8, text_heads: int = 8, groups: int = 32
) -> SeemConfig:
    """Returns the sizes of an official SEEM or X-Decoder checkpoint.

    Args:
        state: all tensors under their official names.
        num_heads: of pixel decoder and decoder; not in the weights, like the two below.
        text_heads: of the text tower.
        groups: of every GroupNorm of the pixel decoder.

    Raises:
        WeightsError: a part is missing.
    """
    encoder = keys_under(state, IMAGE_ENCODER_PREFIX)
    predictor = keys_under(state, PREDICTOR_PREFIX)
    is_davit = any(key.startswith("convs.") for key in encoder)
    pixel = pixel_decoder_config_from(
        keys_under(state, PIXEL_DECODER_PREFIX), num_heads=num_heads, groups=groups
    )
    decoder = decoder_sizes_from(predictor, num_heads=num_heads)
    slots = predictor.get("spatial_featured.weight")
    return SeemConfig(
        image_encoder=davit_config_from(encoder) if is_davit else focalnet_config_from(encoder),
        text=text_config_from(keys_under(state, TEXT_PREFIX), num_heads=text_heads),
        hidden=decoder["hidden"],
        mask_dim=decoder["mask_dim"],
        num_heads=num_heads,
        pixel_layers=pixel["num_layers"],
        pixel_feedforward=pixel["feedforward"],
        groups=groups,
        decoder_layers=decoder["num_layers"],
        feedforward=decoder["feedforward"],
        num_queries=decoder["num_queries"],
        has_points="pn_indicator.weight" in predictor,
        has_image_query=is_x_decoder(predictor),
        num_slots=32 if slots is None else len(slots),
    )
