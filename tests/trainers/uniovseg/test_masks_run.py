"""Whole runs of stage 1: their files, exact resume, what they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segtune.backbones.clip_convnext.random import tiny_clip_convnext
from segtune.backbones.uniovseg.files import load_uniovseg
from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state
from segtune.train.recipe import write_recipe
from segtune.trainers.uniovseg.masks_recipe import KIND, read_recipe
from segtune.trainers.uniovseg.masks_run import fresh_model, run
from tests.data import trees


@pytest.fixture
def finished(recipe, tmp_path):
    """The folder of a run without interruption."""
    out = tmp_path / "through"
    assert run(recipe, out=out, progress=False) == out / "model"
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_leaves_a_model_that_loads(finished, recipe):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    kinds = {f"{kind}_{part}" for kind in ("point", "box") for part in ("mask", "dice", "iou")}
    assert kinds <= set(rows[0])
    assert read_recipe(finished / "recipe.yaml") == recipe
    trained = weights(finished)
    assert {key.partition(".")[0] for key in trained} == {"pixel_decoder", "prompts", "masks"}
    model = load_uniovseg(finished / "model")
    stored = model.state_dict()
    assert all(torch.equal(stored[key], trained[key]) for key in trained)
    assert same(model.clip.state_dict(), tiny_clip_convnext(seed=recipe.seed).state_dict())
    again = fresh_model(replace(recipe, init=str(finished / "model")))
    assert same(again.state_dict(), stored)


def test_interrupted_and_resumed_equals_uninterrupted(finished, recipe, tmp_path):
    out = tmp_path / "again"
    assert run(recipe, out=out, progress=False, stop_after=1) is None
    with pytest.raises(SegtuneError, match="--resume"):
        run(recipe, out=out, progress=False)
    run(recipe, out=out, resume=True, progress=False)
    assert same(weights(finished), weights(out))


def test_killed_runs_go_on_exactly(recipe, tmp_path):
    recipe = replace(recipe, steps=12)
    through, killed = tmp_path / "a", tmp_path / "b"
    run(recipe, out=through, progress=False)
    file = tmp_path / "recipe.yaml"
    write_recipe(file, KIND.values(recipe))
    command = [sys.executable, "-m", "segtune", "train", str(file), "--out", str(killed)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        log = killed / "log.jsonl"
        deadline = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) >= 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "model").exists()
    run(recipe, out=killed, resume=True, progress=False)
    assert same(weights(through), weights(killed))


def test_what_no_run_can_start_from(recipe, tmp_path):
    for name in ("clip", "init"):
        with pytest.raises(SegtuneError, match=f"{name}=clip-vit-tiny is a clip-vit"):
            run(replace(recipe, **{name: "clip-vit-tiny"}), out=tmp_path / name, progress=False)
    with pytest.raises(SegtuneError, match="split"):
        run(replace(recipe, split="none"), out=tmp_path / "split", progress=False)


def test_sa_1b_is_learned_from(recipe, tmp_path):
    trees.sa1b(tmp_path / "sa")
    recipe = replace(recipe, data=str(tmp_path / "sa"), split=None, steps=1)
    assert run(recipe, out=tmp_path / "out", progress=False) == tmp_path / "out" / "model"
    row = json.loads((tmp_path / "out" / "log.jsonl").read_text())
    assert row["_box_pairs"] == 2 * recipe.max_masks
