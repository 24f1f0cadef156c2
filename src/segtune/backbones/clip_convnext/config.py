"""Sizes of a CLIP with a ConvNeXt image tower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from segtune.backbones.encoders.convnext import ConvNextConfig
from segtune.errors import SegtuneError, WeightsError


@dataclass(frozen=True)
class ClipTextConfig:
    """Sizes of the text tower; the defaults are those beside ConvNeXt-L.

    Attributes:
        width, num_layers, num_heads: of the transformer.
        feedforward: hidden width of its MLPs.
        context_length: longest sentence in tokens.
        vocab_size: number of token ids.
    """

    width: int = 768
    num_layers: int = 16
    num_heads: int = 12
    feedforward: int = 3072
    context_length: int = 77
    vocab_size: int = 49408

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise SegtuneError(
                f"a text tower of width {self.width} cannot have {self.num_heads} heads; give a "
                "divisor of the width"
            )


@dataclass(frozen=True)
class ClipConvNextConfig:
    """Sizes of both towers; the defaults are OpenCLIP's `convnext_large_d_320`.

    Attributes:
        image: of the ConvNeXt.
        text: of the text tower.
        joint_width: k, of the space that words share with regions.
        head_hidden: hidden width of the projection; None is one linear layer
            (`convnext_xxlarge`).
    """

    image: ConvNextConfig = field(default_factory=ConvNextConfig)
    text: ClipTextConfig = field(default_factory=ClipTextConfig)
    joint_width: int = 768
    head_hidden: int | None = 1536

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for a config file; `from_dict` leads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipConvNextConfig:
        """Returns the config whose `to_dict` gave `values`.

        Raises:
            WeightsError: a size is unknown or of another kind.
        """
        try:
            parts: dict[str, Any] = {
                "image": ConvNextConfig(**_tuples(values["image"])),
                "text": ClipTextConfig(**values["text"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError) as error:
            known = ", ".join(each.name for each in fields(cls))
            raise WeightsError(
                f"the sizes of a ClipConvNext are not complete or not known ({error}); expected "
                f"{known}"
            ) from None


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
