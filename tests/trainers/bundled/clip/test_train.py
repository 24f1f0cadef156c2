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
from transformers import CLIPModel

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state
from segtune.trainers.bundled.clip import train as train_clip
from segtune.trainers.bundled.clip.model import load_clip
from segtune.trainers.bundled.clip.recipe import ClipRecipe, read_recipe
from segtune.trainers.bundled.clip.train import export_run, main, make_optimizers, run, set_lr


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
    finished: Path, tiny_recipe: ClipRecipe, tiny_cache: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a step; what followed the last checkpoint is done again."""
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(yaml.safe_dump(replace(tiny_recipe, save_every=1).to_dict()))
    command = [sys.executable, "-m", "segtune.trainers.bundled.clip.train", str(recipe)]
    command += ["--out", str(out), "--cache", str(tiny_cache)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=one_thread)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    main([str(recipe), "--out", str(out), "--cache", str(tiny_cache), "--resume"])
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
    with pytest.raises(SegtuneError, match=r"other settings for \['lr'\]"):
        run(replace(tiny_recipe, lr=1.0), out=finished, cache=tiny_cache, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(
    tiny_recipe: ClipRecipe, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train_clip.contrast

    def broken(*args: object, **options: object) -> torch.Tensor:
        return plain(*args, **options) * torch.nan  # type: ignore[arg-type]

    monkeypatch.setattr(train_clip, "contrast", broken)
    with pytest.raises(FloatingPointError, match="smaller lr"):
        run(tiny_recipe, out=tmp_path, cache=tiny_cache)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_muon_takes_the_matrices_of_the_layers(
    tiny_clip: CLIPModel, tiny_recipe: ClipRecipe
) -> None:
    optimizers = make_optimizers(tiny_clip, tiny_recipe)
    names = {id(p): name for name, p in tiny_clip.named_parameters()}
    taken = {
        kind: {names[id(p)] for group in optimizer.param_groups for p in group["params"]}
        for kind, optimizer in optimizers.items()
    }
    assert "vision_model.encoder.layers.0.mlp.fc1.weight" in taken["muon"]
    assert not any("embedding" in name or "projection" in name for name in taken["muon"])
    assert {"logit_scale", "visual_projection.weight"} <= taken["adamw"]
    assert not taken["muon"] & taken["adamw"]
    assert len(taken["muon"]) + len(taken["adamw"]) == len(names)


def test_learning_rates_keep_their_ratio(tiny_clip: CLIPModel, tiny_recipe: ClipRecipe) -> None:
    optimizers = make_optimizers(tiny_clip, tiny_recipe)
    for step in (0, 1, 3):
        for optimizer in optimizers.values():
            set_lr(optimizer, tiny_recipe, step)
        muon, adamw = (o.param_groups[0]["lr"] for o in optimizers.values())
        assert muon / adamw == pytest.approx(tiny_recipe.muon_lr / tiny_recipe.lr)


def test_the_cosine_starts_again_at_a_restart(
    tiny_clip: CLIPModel, tiny_recipe: ClipRecipe
) -> None:
    optimizer = make_optimizers(tiny_clip, tiny_recipe)["adamw"]
    recipe = replace(tiny_recipe, num_steps=20, restarts=(10, 90), lr_drop_step=99)
    rates = []
    for step in range(20):
        set_lr(optimizer, recipe, step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[10] == recipe.lr == max(rates)
    assert rates[9] < 0.1 * recipe.lr
    assert rates[19] < 0.1 * recipe.lr


def test_the_learning_rate_drops_where_the_recipe_says(
    tiny_clip: CLIPModel, tiny_recipe: ClipRecipe
) -> None:
    optimizer = make_optimizers(tiny_clip, tiny_recipe)["muon"]
    rates = {}
    for drop_step in (2, 100):
        set_lr(optimizer, replace(tiny_recipe, lr_drop_step=drop_step, lr_drop=0.3), 2)
        rates[drop_step] = optimizer.param_groups[0]["lr"]
    assert rates[2] == pytest.approx(0.3 * rates[100])
