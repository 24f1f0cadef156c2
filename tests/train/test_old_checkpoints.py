"""Checkpoints of version 0.1, written before there was one loop, are resumed to what they led to.

Each was written in the middle of a run by the loop of that time, with the names of that time
(`num_steps`, `warmup_steps`, ...); `*.expected.safetensors` is what it ended with. Weights are
compared within rounding, since processors differ in it.
"""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import segtune
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.prompts import Prompts
from segtune.train.checkpoints import read_state
from segtune.train.config import LoopConfig
from segtune.train.run_files import identity_of
from segtune.trainers.bundled.clip.recipe import make_recipe as make_clip
from segtune.trainers.bundled.clip.train import run as train_clip
from segtune.trainers.pairs.recipe import make_recipe as make_pairs
from segtune.trainers.pairs.run import run as train_pairs
from tests.cli.conftest import export_tiny

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check(found: dict[str, torch.Tensor], name: str) -> None:
    expected = load_file(DATA / f"{name}.expected.safetensors")
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-5, rtol=1e-4, msg=key)


def test_a_fit(tmp_path: Path) -> None:
    """Its parts are prompts and optimizer; from step 3 of 6."""
    out = tmp_path / "a.safetensors"
    shutil.copy(DATA / "fit.checkpoint", tmp_path / "a.safetensors.checkpoint")
    model = segtune.load("seem-tiny", device="cpu")
    loop = LoopConfig(steps=6, lr=0.02, weight_decay=1e-4, warmup=0, optimizer="sgd", save_every=3)
    config = segtune.FitConfig(
        loop=loop, batch=2, views=1, short_side=64, scale=(1.0, 1.0), distort=False
    )
    data = open_dataset("synthetic:jargon?size=64&length=4", split="train")
    how = {"system": "ssprompt", "shots": 2, "config": config, "out": out, "progress": False}
    with pytest.raises(SegtuneError, match=r"other settings for .*seed;"):
        segtune.fit(model, data, seed=4, **how)
    taken: list[int] = []
    segtune.fit(model, data, seed=3, on_step=lambda done, now: taken.append(done), **how)
    assert taken == [3, 4, 5, 6]  # that of the checkpoint once more
    check(dict(Prompts.load(out).tensors), "fit")


def test_a_model_with_prompts_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning on pairs: parts model and prompts, the recipe under `recipe`; from step 3 of 5."""
    monkeypatch.chdir(tmp_path)  # the recipe names its model by a relative path
    export_tiny(Path("tiny"), seed=0)
    recipe = make_pairs(
        {
            "steps": 5,
            "batch": 6,
            "warmup": 1,
            "depth": 2,
            "prompt_lr": 1e-2,
            "data": "synthetic:base?size=64&length=3",
            "templates": "name",
            "save_every": 2,
            "short_side": 64,
            "model": "tiny",
            "stages": [{"mode": "mpt"}],
        }
    )
    stage = tmp_path / "run" / "1-mpt"
    stage.mkdir(parents=True)
    shutil.copy(DATA / "pairs.pt", stage / "checkpoint.pt")
    adapted = train_pairs(recipe, out=tmp_path / "run", resume=True, progress=False)
    assert adapted is not None
    assert adapted.prompts is not None
    assert len((stage / "log.jsonl").read_text().splitlines()) == 2
    check(dict(Prompts.load(adapted.prompts).tensors), "pairs")


def test_a_whole_model(tmp_path: Path) -> None:
    """The bundled CLIP at the smallest sizes: parts model, muon and adamw; from step 3 of 6."""
    assert identity_of(read_state(DATA / "clip.pt"))["clip_norm"] == 2.0
    recipe = make_clip(
        {
            "vision_width": 4,
            "vision_layers": 1,
            "vision_heads": 1,
            "text_width": 4,
            "text_layers": 1,
            "text_heads": 1,
            "projection_dim": 4,
            "vocab_size": 560,
            "context_length": 32,
            "num_crops": 24,
            "num_scenes": 6,
            "scene_size": 64,
            "scene_windows": (48, 64),
            "steps": 6,
            "crops_per_step": 6,
            "scenes_per_step": 2,
            "warmup": 1,
            "clip_norm": 2.0,
            "precision": "fp32",
            "device": "cpu",
            "save_every": 2,
        }
    )
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(DATA / "clip.pt", out / "checkpoint.pt")
    train_clip(recipe, out=out, resume=True, progress=False)
    assert len((out / "log.jsonl").read_text().splitlines()) == 3
    check(read_state(out / "checkpoint.pt")["parts"]["model"], "clip")
