from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from segtune.trainers.bundled.clip.model import build_clip
from segtune.trainers.bundled.clip.pool import open_pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe, make_recipe
from segtune.trainers.bundled.clip.train import make_tokenizer


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_recipe() -> ClipRecipe:
    """A recipe of the smallest sizes, for a few steps on a handful of images."""
    return make_recipe(
        {
            "vision_width": 32,
            "vision_layers": 2,
            "vision_heads": 2,
            "text_width": 32,
            "text_layers": 2,
            "text_heads": 2,
            "projection_dim": 16,
            "vocab_size": 700,
            "num_crops": 24,
            "num_scenes": 6,
            "scene_size": 64,
            "scene_windows": (48, 64),
            "steps": 4,
            "crops_per_step": 6,
            "scenes_per_step": 2,
            "warmup": 1,
            "precision": "fp32",
            "device": "cpu",
            "save_every": 2,
        }
    )


@pytest.fixture(scope="session")
def tiny_cache(tiny_recipe: ClipRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the rendered images of the tiny recipe."""
    cache = tmp_path_factory.mktemp("cache")
    open_pool(tiny_recipe, cache)
    return cache


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_recipe: ClipRecipe) -> CLIPTokenizer:
    return make_tokenizer(tiny_recipe)


@pytest.fixture(scope="session")
def tiny_clip(tiny_recipe: ClipRecipe, tiny_tokenizer: CLIPTokenizer) -> CLIPModel:
    return build_clip(tiny_recipe, tokenizer=tiny_tokenizer, seed=0).eval()
