"""The settings that the trainings of the bundled mask models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segtune.storage.typed import require
from segtune.train.loop import Pace
from segtune.train.schedules import cosine_with_warmup

COUNTS = ("short_side", "crop", "batch", "steps", "pixels_per_image", "save_every")
"""Settings that are 1 or more."""


@dataclass(frozen=True)
class SceneRecipe:
    """What a mask model learns from, how it sees it, and how fast; lengths are in pixels.

    The words are those of `text`, a CLIP, which stays as it is.
    """

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
    steps: int = 5000
    lr: float = 1e-3
    muon_lr: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 200

    # Losses beside the set loss.
    dense_weight: float = 1.0  # words against single pixels, in training only
    pixels_per_image: int = 150

    save_every: int = 100

    def __post_init__(self) -> None:
        require(self, *COUNTS, least=1)
        require(self, "weight_decay", "warmup", "dense_weight", least=0)
        require(self, "lr", "muon_lr", above=0)

    def pace(self) -> Pace:
        """Returns a linear rise and a cosine to one percent, with gradients cut at a norm of 1."""

        def rate(step: int, peak: float) -> float:
            return peak * cosine_with_warmup(
                step, base_lr=1.0, steps=self.steps, warmup=self.warmup, min_lr=0.01
            )

        return Pace(self.steps, rate, clip_norm=1.0, save_every=self.save_every)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {},
    # Ten times the views at a larger batch, for an accelerator.
    "large": {
        "data": "synthetic:base?size=192&length=40000&stuff_regions=1&stored=1",
        "batch": 96,
        "steps": 12_000,
        "warmup": 500,
    },
}
