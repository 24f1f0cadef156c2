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
import yaml
from safetensors.torch import load_file

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state
from segtune.trainers.bundled.clip import trainee as clip_trainee
from segtune.trainers.bundled.clip.model import load_clip
from segtune.trainers.bundled.clip.recipe import KIND, ClipRecipe, read_recipe
from segtune.trainers.bundled.clip.train import export_run, run, train_recipe


@pytest.fixture(scope="module")
def finished(
    tiny_recipe: ClipRecipe, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of an uninterrupted tiny run."""
    out = tmp_path_factory.mktemp("run") / "through"
    run(tiny_recipe, out=out, cache=tiny_cache)
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def same_weights(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_leaves_model_log_and_recipe(finished: Path, tiny_recipe: ClipRecipe) -> None:
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "crop", "crop_partial", "patch", "patch_partial", "scene"} <= set(lines[0])
    assert read_recipe(finished / "recipe.yaml") == tiny_recipe
    model, tokenizer = load_clip(finished / "model")
    assert len(tokenizer) == model.config.text_config.vocab_size


def test_interrupted_and_resumed_equals_uninterrupted(
    finished: Path, tiny_recipe: ClipRecipe, tiny_cache: Path, tmp_path: Path
) -> None:
    run(tiny_recipe, out=tmp_path, cache=tiny_cache, stop_after=2)
    torch.rand(7)
    run(tiny_recipe, out=tmp_path, cache=tiny_cache, resume=True)
    assert same_weights(finished, tmp_path)
    log = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    whole = (finished / "log.jsonl").read_text().splitlines()
    assert log == [json.loads(line)["loss"] for line in whole]


def test_killed_and_resumed_equals_uninterrupted(
    finished: Path,
    tiny_recipe: ClipRecipe,
    tiny_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL in the middle of a step; what followed the last checkpoint is done again."""
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(yaml.safe_dump(KIND.values(replace(tiny_recipe, save_every=1))))
    command = [sys.executable, "-m", "segtune", "train", str(recipe), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SEGTUNE_CACHE": str(tiny_cache)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setenv("SEGTUNE_CACHE", str(tiny_cache))
    outcome = train_recipe(recipe, {}, out=out, resume=True)
    assert outcome.wrote == f"wrote {out / 'model'}"
    assert same_weights(finished, out)


def test_a_running_job_can_be_exported(finished: Path, tmp_path: Path) -> None:
    export_run(finished, tmp_path / "interim")
    exported = load_file(tmp_path / "interim" / "model.safetensors")
    final = load_file(finished / "model" / "model.safetensors")
    assert all(torch.equal(exported[name], final[name]) for name in final)
    assert all(tensor.dtype == torch.float16 for tensor in exported.values())


def test_an_existing_run_is_not_overwritten(
    finished: Path, tiny_recipe: ClipRecipe, tiny_cache: Path
) -> None:
    with pytest.raises(SegtuneError, match="--resume"):
        run(tiny_recipe, out=finished, cache=tiny_cache)


def test_resuming_with_other_settings_is_refused(
    finished: Path, tiny_recipe: ClipRecipe, tiny_cache: Path
) -> None:
    with pytest.raises(SegtuneError, match="other settings for lr;"):
        run(replace(tiny_recipe, lr=1.0), out=finished, cache=tiny_cache, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(
    tiny_recipe: ClipRecipe, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = clip_trainee.contrast

    def broken(*args: object, **options: object) -> torch.Tensor:
        return plain(*args, **options) * torch.nan  # type: ignore[arg-type]

    monkeypatch.setattr(clip_trainee, "contrast", broken)
    with pytest.raises(SegtuneError, match="in step 1; lower the rate"):
        run(tiny_recipe, out=tmp_path, cache=tiny_cache)
    assert not (tmp_path / "checkpoint.pt").exists()
