"""Whole runs of stage 2: the prompt file, exact resume, what they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import segtune
from segtune.errors import SegtuneError
from segtune.prompts import Prompts
from segtune.train.recipe import write_recipe
from segtune.trainers.uniovseg.captions_recipe import KIND, read_recipe
from segtune.trainers.uniovseg.captions_run import PROMPTS, run


@pytest.fixture
def finished(captions_recipe, tmp_path) -> Path:
    out = tmp_path / "through"
    assert run(captions_recipe, out=out, progress=False) == out / PROMPTS
    return out


def equal(one: Path, two: Path) -> bool:
    a, b = (Prompts.load(out / PROMPTS).tensors for out in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_prompts_that_segment(finished, captions_recipe):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert read_recipe(finished / "recipe.yaml") == captions_recipe
    prompts = Prompts.load(finished / PROMPTS)
    assert prompts.system == "uniovseg"
    assert any(value.any() for key, value in prompts.tensors.items() if key.startswith("up"))
    model = segtune.load(captions_recipe.model)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    result = model.segment(image, "star, grass", prompts=finished / PROMPTS)
    assert result.semantic.shape == (40, 60)


def test_interrupted_and_resumed_equals_uninterrupted(finished, captions_recipe, tmp_path):
    out = tmp_path / "again"
    assert run(captions_recipe, out=out, progress=False, stop_after=2) is None
    run(captions_recipe, out=out, resume=True, progress=False)
    assert equal(finished, out)


def test_killed_runs_go_on_exactly(captions_recipe, tmp_path):
    recipe = replace(captions_recipe, steps=15)
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
    assert not (killed / PROMPTS).exists()
    run(recipe, out=killed, resume=True, progress=False)
    assert equal(through, killed)


def test_what_no_run_can_start_from(captions_recipe, folder, tmp_path):
    with pytest.raises(SegtuneError, match="model=clip-vit-tiny is a clip-vit"):
        run(replace(captions_recipe, model="clip-vit-tiny"), out=tmp_path / "a", progress=False)
    with pytest.raises(SegtuneError, match="has no caption"):
        run(
            replace(captions_recipe, data=folder, split="train"), out=tmp_path / "b", progress=False
        )
