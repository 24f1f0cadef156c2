"""Recipes of the bundled models."""

from __future__ import annotations

from segtune.systems.spec import TrainerSpec

SPECS = (
    TrainerSpec("zoo/clip_vit", "segtune.trainers.by_recipe:bundled_clip"),
    TrainerSpec("zoo/maskformer", "segtune.trainers.by_recipe:bundled_maskformer"),
    TrainerSpec("zoo/seem", "segtune.trainers.by_recipe:bundled_seem"),
)
