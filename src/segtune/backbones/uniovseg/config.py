"""Sizes of a Uni-OVSeg: the released stage-1 model, and the one of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.errors import SegtuneError, WeightsError


@dataclass(frozen=True)
class UniOvsegConfig:
    """Sizes of a whole model; the defaults are those of the released checkpoint.

    Attributes:
        clip: of both towers.
        hidden: width of the decoders and of the mask features.
        num_heads: of both decoders.
        pixel_layers, pixel_feedforward: of the deformable encoder.
        decoder_layers, feedforward: of the mask decoder.
        num_granularities: masks per point.
        positions: encoding of places: random Fourier features (released), or sines (paper).
        groups: of every GroupNorm.
        canvas: side in pixels of the square that an image is padded to.
    """

    clip: ClipConvNextConfig = field(default_factory=ClipConvNextConfig)
    hidden: int = 256
    num_heads: int = 8
    pixel_layers: int = 6
    pixel_feedforward: int = 1024
    decoder_layers: int = 9
    feedforward: int = 2048
    num_granularities: int = 4
    positions: Literal["fourier", "sine"] = "fourier"
    groups: int = 32
    canvas: int = 1024

    def __post_init__(self) -> None:
        if self.positions not in ("fourier", "sine"):
            raise SegtuneError(f"positions={self.positions!r}; expected fourier or sine")
        if self.canvas < 32 or self.canvas % 32:
            raise SegtuneError(f"canvas={self.canvas}; expected a multiple of 32")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for a config file; `from_dict` leads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UniOvsegConfig:
        """Returns the config whose `to_dict` gave `values`.

        Raises:
            WeightsError: a size is unknown or of another kind.
        """
        try:
            return cls(**{**values, "clip": ClipConvNextConfig.from_dict(values["clip"])})
        except (KeyError, TypeError) as error:
            known = ", ".join(each.name for each in fields(cls))
            raise WeightsError(
                f"the sizes of a Uni-OVSeg are not complete or not known ({error}); expected "
                f"{known}"
            ) from None


RELEASED = UniOvsegConfig()
PAPER = UniOvsegConfig(decoder_layers=6, positions="sine", canvas=896)
"""Where the text of the paper differs from the released code."""
