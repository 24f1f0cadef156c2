"""Every setting of the bundled SEEM's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from segtune.trainers.bundled.recipes import from_preset, read_settings
from segtune.trainers.bundled.scenes.recipe import PRESETS, SceneRecipe


@dataclass(frozen=True)
class SeemRecipe(SceneRecipe):
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world.

    The text tower and its tokenizer are those of `text`, frozen.
    """

    example: ClassVar[str] = "recipes/zoo/seem.yaml"

    name: str = "seem-tiny"
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

    dense_size: int = 224  # of the exported model; chosen on val among 160 to 320

    # Losses beside the set loss.
    prompt_weight: float = 1.0  # masks of points and boxes
    prompts_per_image: int = 2


def make_recipe(preset: str = "cpu", **settings: Any) -> SeemRecipe:
    """Returns a preset with some settings replaced.

    Example:
        >>> make_recipe("large", seed=3).batch
        96
    """
    return from_preset(SeemRecipe(), PRESETS, preset, settings)


def read_recipe(path: Path | str) -> SeemRecipe:
    """Returns the recipe in a YAML file: an optional `preset`, then the settings that differ."""
    preset, settings = read_settings(path, example=SeemRecipe.example)
    return make_recipe(preset, **settings)
