"""Every setting of the bundled MaskFormer's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from segtune.train.recipe import RecipeKind
from segtune.trainers.bundled.scenes.recipe import PRESETS, SceneRecipe


@dataclass(frozen=True)
class MaskFormerRecipe(SceneRecipe):
    """Settings of one training run; the defaults are the `cpu` preset for the `base` world."""

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
    steps: int = 2000
    muon_lr: float = 3e-3
    warmup: int = 100

    # Losses beside the set loss.
    coarse_weight: float = 0.0  # words against single cells of the map that queries read
    cells_per_image: int = 24


KIND = RecipeKind(
    MaskFormerRecipe,
    "recipes/zoo/maskformer.yaml",
    system="zoo/maskformer",
    presets=PRESETS,
    default="cpu",
)
make_recipe, read_recipe = KIND.make, KIND.read
