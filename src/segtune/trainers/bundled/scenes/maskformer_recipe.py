"""Every setting of the bundled MaskFormer's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from segtune.trainers.bundled.recipes import from_preset, read_settings
from segtune.trainers.bundled.scenes.recipe import PRESETS, SceneRecipe


@dataclass(frozen=True)
class MaskFormerRecipe(SceneRecipe):
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world."""

    example: ClassVar[str] = "recipes/zoo/maskformer.yaml"
    prompts_per_image: ClassVar[int] = 0  # a MaskFormer takes no clicks

    name: str = "maskformer-tiny"
    targets: Literal["instances", "semantic"] = "semantic"  # as in the papers

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
    scale: tuple[float, ...] = (0.6, 1.1)
    crop: int = 128
    dense_size: int = 256  # of the exported model; chosen on val among 192 to 320

    # Optimisation.
    num_steps: int = 2000
    muon_lr: float = 3e-3
    num_warmup_steps: int = 100

    # Losses beside the set loss.
    coarse_weight: float = 0.0  # words against single cells of the map that queries read
    cells_per_image: int = 24


def make_recipe(preset: str = "cpu", **settings: Any) -> MaskFormerRecipe:
    """Returns a preset with some settings replaced.

    Example:
        >>> make_recipe("large", seed=3).batch
        96
    """
    return from_preset(MaskFormerRecipe(), PRESETS, preset, settings)


def read_recipe(path: Path | str) -> MaskFormerRecipe:
    """Returns the recipe in a YAML file: an optional `preset`, then the settings that differ."""
    preset, settings = read_settings(path, example=MaskFormerRecipe.example)
    return make_recipe(preset, **settings)
