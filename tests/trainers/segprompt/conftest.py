"""A recipe that runs in seconds."""

import pytest

from segtune.trainers.segprompt.recipe import SegPromptRecipe, make_recipe

TINY = {
    "name": "tiny",
    "data": "synthetic:longtail?size=64&length=6",
    "encoder": "swin-tiny",
    "hidden": 32,
    "heads": 2,
    "feedforward": 32,
    "decoder_layers": 1,
    "pixel_feedforward": 32,
    "pixel_layers": 1,
    "num_points": 2,
    "groups": 8,
    "num_queries": 6,
    "prompts": {"num_prompts": 6, "repeat": 2, "num_examples": 3, "min_area": 4},
    "crop": 64,
    "scale": [0.8, 1.2],
    "dense_loss": True,
    "steps": 3,
    "batch": 2,
    "lr": 1e-3,
    "save_every": 1,
}


@pytest.fixture
def recipe() -> SegPromptRecipe:
    return make_recipe(TINY)
