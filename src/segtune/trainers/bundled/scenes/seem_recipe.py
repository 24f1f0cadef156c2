"""Every setting of the bundled SEEM's training."""

from __future__ import annotations

from dataclasses import dataclass

from segtune.train.recipe import RecipeKind
from segtune.trainers.bundled.scenes.recipe import PRESETS, SceneRecipe


@dataclass(frozen=True)
class SeemRecipe(SceneRecipe):
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world.

    The text tower and its tokenizer are those of `text`, frozen.
    """

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


KIND = RecipeKind(
    SeemRecipe,
    "recipes/zoo/seem.yaml",
    system="zoo/seem",
    presets=PRESETS,
    default="cpu",
)
make_recipe, read_recipe = KIND.make, KIND.read
