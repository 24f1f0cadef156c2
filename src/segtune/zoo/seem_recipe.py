"""Every setting of the bundled SEEM's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from segtune.zoo.recipes import from_preset, read_settings


@dataclass(frozen=True)
class SeemRecipe:
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world.

    Lengths are in pixels. The text tower and its tokenizer are those of `text`, frozen.
    """

    name: str = "seem-tiny"
    seed: int = 0
    init: str | None = None  # a SEEM of the same sizes to start from

    # What it learns from: masks of the instances, or one mask per class of the label map.
    data: str = "synthetic:base?size=192&length=6000&stuff_regions=1&stored=1"
    split: str = "train"
    targets: Literal["instances", "semantic"] = "instances"
    layout: str | None = None
    text: str = "clip-vit-tiny"
    templates: str = "single"
    background: str = "background"

    # Model.
    embed_dim: int = 24
    depths: tuple[int, ...] = (1, 1, 2, 1)
    focal_levels: tuple[int, ...] = (2, 2, 2, 2)
    hidden: int = 96
    num_heads: int = 4
    feedforward: int = 192
    pixel_layers: int = 1
    decoder_layers: int = 4
    num_queries: int = 40
    groups: int = 32

    # Views.
    short_side: int = 192
    scale: tuple[float, ...] = (0.7, 1.25)
    crop: int = 160
    dense_size: int = 224  # of the exported model; chosen on val among 160 to 320
    batch: int = 12

    # Optimisation.
    num_steps: int = 5000
    lr: float = 1e-3
    muon_lr: float = 2e-3
    weight_decay: float = 0.02
    num_warmup_steps: int = 200

    # Weights beside the official ones of the set loss.
    dense_weight: float = 1.0  # words against single pixels, in training only
    prompt_weight: float = 1.0  # masks of points and boxes
    prompts_per_image: int = 2
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


def make_recipe(preset: str = "cpu", **settings: Any) -> SeemRecipe:
    """Returns a preset with some settings replaced.

    Example:
        >>> make_recipe("large", seed=3).batch
        96
    """
    return from_preset(SeemRecipe(), PRESETS, preset, settings)


def read_recipe(path: Path | str) -> SeemRecipe:
    """Returns the recipe in a YAML file: an optional `preset`, then the settings that differ."""
    preset, settings = read_settings(path, example="recipes/zoo/seem.yaml")
    return make_recipe(preset, **settings)
