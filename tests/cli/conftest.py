"""A tiny model with random weights as a folder for `--model`, and a command line that runs here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.seem.files import save_seem
from segtune.backbones.seem.model import TINY, random_seem
from segtune.cli.main import main
from segtune.data.synthetic import SyntheticDataset
from segtune.train.config import LoopConfig
from segtune.trainers.bundled.clip.model import build_clip, export_clip
from segtune.trainers.bundled.clip.recipe import make_recipe
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer


@dataclass(frozen=True)
class Outcome:
    """What a command left behind: exit status and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tiny tensors are slower, not faster, on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process."""

    def run_here(*words: object) -> Outcome:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run_here


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP of random weights with a tokenizer that knows letters and a few words."""
    return export_tiny(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="session")
def other_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same architecture with other weights."""
    return export_tiny(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="session")
def seem_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SEEM of random weights that takes points and reads words."""
    tokenizer = train_tokenizer(["a photo of a plain resistor."], vocab_size=600, context_length=64)
    sizes = replace(TINY.text, vocab_size=600)
    seem = random_seem(replace(TINY, text=sizes))
    seem.tokenizer = tokenizer
    return str(save_seem(seem, tmp_path_factory.mktemp("models") / "seem"))


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory, model_folder: str) -> str:
    """A random MaskFormer in front of the CLIP of `model_folder`, as a folder of the two."""
    folder = tmp_path_factory.mktemp("models") / "pair"
    save_maskformer(random_maskformer(), folder / "masks")
    parts = {"model_type": "two-stage", "proposals": "masks", "clip": model_folder}
    (folder / "config.json").write_text(json.dumps({**parts, "dense_size": 32}))
    return str(folder)


def export_tiny(folder: Path, *, seed: int, layers: int = 2, context: int = 24) -> str:
    """Writes a CLIP of random weights that reads `context` tokens; returns the folder."""
    recipe = make_recipe(
        {
            "image_size": 32,
            "vision_width": 32,
            "vision_layers": layers,
            "vision_heads": 2,
            "text_width": 32,
            "text_layers": 2,
            "text_heads": 2,
            "projection_dim": 16,
            "vocab_size": 600,
            "context_length": context,
        }
    )
    words = ["a photo of a plain striped dotted resistor."]
    tokenizer = train_tokenizer(words, vocab_size=recipe.vocab_size, context_length=context)
    export_clip(build_clip(recipe, tokenizer=tokenizer, seed=seed), tokenizer, folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images of different sizes."""
    rng = np.random.default_rng(0)
    for name, size in (("a", (32, 40)), ("b", (48, 32))):
        save(tmp_path / "photos" / f"{name}.png", rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images and index maps: three scenes, classes ground and thing."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    scenes = SyntheticDataset("base-15-5", "val", size=(64, 64), length=3)
    for i in range(len(scenes)):
        sample = scenes[i]
        assert sample.semantic is not None
        save(folder / "images" / f"{i}.png", sample.pixels())
        save(folder / "labels" / f"{i}.png", (sample.semantic >= 0).astype(np.uint8))
    (folder / "classes.txt").write_text("ground\nthing\n")
    return folder


@pytest.fixture(scope="session")
def prompt_file(
    tmp_path_factory: pytest.TempPathFactory, labelled: Path, model_folder: str
) -> Path:
    """Prompts of two steps on the labelled folder."""
    out = tmp_path_factory.mktemp("prompts") / "learned.safetensors"
    config = segtune.FitConfig(loop=LoopConfig(steps=2), views=1, short_side=32)
    segtune.fit(segtune.load(model_folder), labelled, shots=2, config=config, out=out)
    return out


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
