"""The settings that the trainings of the bundled mask models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class SceneRecipe:
    """What a mask model learns from, how it sees it, and how fast; lengths are in pixels.

    The words are those of `text`, a CLIP, which stays as it is.
    """

    example: ClassVar[str]
    """A recipe file of this kind, for messages."""

    name: str
    seed: int = 0
    init: str | None = None  # a model folder of the same sizes to start from

    # What it learns from: masks of the instances, or one mask per class of the label map.
    data: str = "synthetic:base?size=192&length=6000&stuff_regions=1&stored=1"
    split: str = "train"
    targets: Literal["instances", "semantic"] = "instances"
    layout: str | None = None
    text: str = "clip-vit-tiny"
    templates: str = "single"

    # Views.
    short_side: int = 192
    scale: tuple[float, ...] = (0.7, 1.25)
    crop: int = 160
    batch: int = 12

    # Optimisation.
    num_steps: int = 5000
    lr: float = 1e-3
    muon_lr: float = 2e-3
    weight_decay: float = 0.02
    num_warmup_steps: int = 200

    # Losses beside the set loss.
    dense_weight: float = 1.0  # words against single pixels, in training only
    pixels_per_image: int = 150

    save_every: int = 100

    def to_dict(self) -> dict[str, Any]:
        """Returns every setting as plain values, ready for YAML."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {},
    # Ten times the views at a larger batch, for an accelerator.
    "large": {
        "data": "synthetic:base?size=192&length=40000&stuff_regions=1&stored=1",
        "batch": 96,
        "num_steps": 12_000,
        "num_warmup_steps": 500,
    },
}
