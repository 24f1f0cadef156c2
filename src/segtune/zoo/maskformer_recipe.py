"""Every setting of the bundled MaskFormer's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from segtune.zoo.recipes import from_preset, read_settings


@dataclass(frozen=True)
class MaskFormerRecipe:
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world.

    Lengths are in pixels. The words are those of `text`, a CLIP, which stays as it is.
    """

    name: str = "maskformer-tiny"
    seed: int = 0
    init: str | None = None  # a MaskFormer folder of the same sizes to start from

    # What it learns from: one mask per class of the label map, as the papers do, or instances.
    data: str = "synthetic:base?size=192&length=6000&stuff_regions=1&stored=1"
    split: str = "train"
    targets: Literal["instances", "semantic"] = "semantic"
    layout: str | None = None
    text: str = "clip-vit-tiny"
    templates: str = "single"

    # Model.
    embed_dim: int = 24
    depths: tuple[int, ...] = (2, 2, 2, 1)
    num_heads: tuple[int, ...] = (1, 2, 4, 8)
    window: int = 4
    fpn_width: int = 64
    mask_dim: int = 64
    hidden: int = 96
    decoder_heads: int = 4
    feedforward: int = 192
    decoder_layers: int = 3
    num_queries: int = 32
    class_hidden: int = 128
    groups: int = 32

    # Views.
    short_side: int = 192
    scale: tuple[float, ...] = (0.6, 1.1)
    crop: int = 128
    dense_size: int = 256  # of the exported model; chosen on val among 192 to 320
    batch: int = 12

    # Optimisation.
    num_steps: int = 2000
    lr: float = 1e-3
    muon_lr: float = 3e-3
    weight_decay: float = 0.02
    num_warmup_steps: int = 100

    # Weights beside those of the set loss.
    dense_weight: float = 1.0  # words against single pixels, in training only
    pixels_per_image: int = 150
    coarse_weight: float = 0.0  # words against single cells of the map that queries read
    cells_per_image: int = 24

    save_every: int = 100

    prompts_per_image: ClassVar[int] = 0  # a MaskFormer takes no clicks

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


def make_recipe(preset: str = "cpu", **settings: Any) -> MaskFormerRecipe:
    """Returns a preset with some settings replaced.

    Example:
        >>> make_recipe("large", seed=3).batch
        96
    """
    return from_preset(MaskFormerRecipe(), PRESETS, preset, settings)


def read_recipe(path: Path | str) -> MaskFormerRecipe:
    """Returns the recipe in a YAML file: an optional `preset`, then the settings that differ."""
    preset, settings = read_settings(path, example="recipes/zoo/maskformer.yaml")
    return make_recipe(preset, **settings)
