"""Recipes of the bundled models."""

from __future__ import annotations

from segtune.systems.spec import TrainerSpec

SPECS = (
    TrainerSpec("zoo/clip_vit", "segtune.trainers.bundled.clip.train:train_recipe"),
    TrainerSpec("zoo/maskformer", "segtune.trainers.bundled.scenes.train_maskformer:train_recipe"),
    TrainerSpec("zoo/seem", "segtune.trainers.bundled.scenes.train_seem:train_recipe"),
)
