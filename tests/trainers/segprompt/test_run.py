"""Whole runs: exact resume, a killed process, two processes as one, and what a run leaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import segtune
from segtune.backbones.mask2former.files import load_mask2former
from segtune.backbones.mask2former.keys import state_to_official
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError, WeightsError
from segtune.eval.run import evaluate
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.files import PROMPTS, load_prompts
from segtune.train.checkpoints import read_state
from segtune.train.recipe import write_recipe
from segtune.trainers.segprompt.recipe import KIND, SegPromptRecipe, read_recipe
from segtune.trainers.segprompt.run import described, export_run, make_trainee, run

BASELINE = SegPromptConfig(num_prompts=0, num_examples=0, min_area=4, repeat=2)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def losses(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "lr")} for row in rows]


def test_a_run_resumes_exactly_and_leaves_a_plain_model(recipe, tmp_path):
    through, parts = tmp_path / "through", tmp_path / "parts"
    assert run(recipe, out=through, progress=False) == through
    assert run(recipe, out=parts, progress=False, stop_after=1) is None
    assert run(recipe, out=parts, progress=False, resume=True) == parts
    assert same(weights(through), weights(parts))
    assert losses(through) == losses(parts)
    assert weights(through)["prompts.cache.is_initialised"].any()
    assert read_recipe(through / "recipe.yaml") == recipe
    model = load_mask2former(through)
    assert model.config == recipe.model_config()
    assert model.training_notes == described(recipe)
    assert not any("memory_bank" in key for key in state_to_official(model.state_dict()))
    assert (through / PROMPTS).is_file()
    exported = export_run(through, tmp_path / "exported")
    assert same(load_mask2former(exported).state_dict(), model.state_dict())
    with pytest.raises(SegtuneError, match="already holds a run"):
        run(recipe, out=through, progress=False)


def test_the_baseline_has_the_same_start_and_no_prompts(recipe, tmp_path):
    plain = replace(recipe, prompts=BASELINE, steps=1)
    run(plain, out=tmp_path / "plain", progress=False)
    assert not (tmp_path / "plain" / PROMPTS).exists()
    assert set(losses(tmp_path / "plain")[0]) == {
        "step",
        "loss",
        "learned_class",
        "learned_mask",
        "learned_dice",
    }
    run(replace(recipe, steps=1), out=tmp_path / "taught", progress=False)
    for kind in ("class", "mask", "dice"):
        name = f"learned_{kind}"
        assert losses(tmp_path / "plain")[0][name] == losses(tmp_path / "taught")[0][name]


@pytest.mark.parametrize("left_out", ["num_prompts", "num_examples"])
def test_prompts_or_examples_alone(recipe, tmp_path, left_out):
    alone = replace(recipe, prompts=replace(recipe.prompts, **{left_out: 0}))
    run(alone, out=tmp_path / "run", progress=False)
    branches = {name.partition("_")[0] for row in losses(tmp_path / "run") for name in row}
    assert ("prompt" in branches, "example" in branches) == (
        left_out != "num_prompts",
        left_out != "num_examples",
    )


def test_the_folder_is_a_model_that_open_world_scores(recipe, tmp_path):
    run(replace(recipe, steps=1), out=tmp_path / "run", progress=False)
    model = segtune.load(str(tmp_path / "run"))
    result = evaluate(
        model,
        "synthetic:longtail?size=64&length=2",
        task="open-world",
        examples=0,
        progress=False,
    )
    assert 0 <= result.scores.summary()["AR@100"] <= 1
    assert result.protocol.extra["image_lists"] is True
    assert result.protocol.extra["method"] == "segprompt"


def command(path: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "segtune", "train", str(path), "--out", str(out), *more]


def test_a_killed_run_goes_on_exactly(recipe, tmp_path):
    long = replace(recipe, steps=8)
    write_recipe(tmp_path / "recipe.yaml", KIND.values(long))
    run(long, out=tmp_path / "through", progress=False)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(tmp_path / "recipe.yaml", out), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while time.monotonic() < end and not (out / "checkpoint.pt").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "checkpoint.pt").exists()
    subprocess.run(
        command(tmp_path / "recipe.yaml", out, "--resume"), check=True, stderr=subprocess.DEVNULL
    )
    assert same(weights(tmp_path / "through"), weights(out))
    assert losses(tmp_path / "through") == losses(out)


def test_two_processes_are_one_with_the_doubled_batch(recipe, tmp_path):
    recipe: SegPromptRecipe = replace(recipe, steps=2, batch=4)
    write_recipe(tmp_path / "recipe.yaml", KIND.values(recipe))
    run(recipe, out=tmp_path / "one", progress=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        **{"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        **{"ACCELERATE_USE_CPU": "1", "CUDA_VISIBLE_DEVICES": "", "LOCAL_WORLD_SIZE": "2"},
    }
    words = command(tmp_path / "recipe.yaml", tmp_path / "two")
    processes = [
        subprocess.Popen(words, env={**shared, "RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    for one, two in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert torch.equal(one["prompts.cache.counts"], two["prompts.cache.counts"])
    torch.testing.assert_close(
        two["prompts.cache.rows"], one["prompts.cache.rows"], rtol=1e-3, atol=1e-3
    )


def test_a_run_starts_from_a_model_with_fewer_queries(recipe, tmp_path):
    run(replace(recipe, steps=1, half=True), out=tmp_path / "small", progress=False)
    small = load_mask2former(tmp_path / "small")
    assert (tmp_path / "small" / "model.safetensors").stat().st_size < 1.2 * sum(
        2 * value.numel() for value in small.state_dict().values()
    )
    larger = replace(recipe, num_queries=9, init=str(tmp_path / "small"), dense_size=96)
    dataset = open_dataset(recipe.data, split="train")
    model = make_trainee(larger, dataset).model
    assert model.dense_size == 96
    assert torch.equal(model.decoder.query_content[:6], small.decoder.query_content)
    fresh = make_trainee(replace(larger, init=None), dataset).model
    assert torch.equal(model.decoder.query_content[6:], fresh.decoder.query_content[6:])
    assert torch.equal(model.decoder.level_embeds, small.decoder.level_embeds)
    for changes in ({"num_queries": 4}, {"feedforward": 40}):
        with pytest.raises(WeightsError, match="wrong shape"):
            make_trainee(replace(larger, **changes), dataset)
    with pytest.raises(WeightsError, match="instead of"):
        make_trainee(replace(larger, init="segprompt-tiny"), dataset)


def test_the_prompts_of_a_run_know_their_classes(recipe, tmp_path):
    run(replace(recipe, steps=1), out=tmp_path / "run", progress=False)
    found, state = load_prompts(tmp_path / "run"), weights(tmp_path / "run")
    names = open_dataset(recipe.data, split="train").vocabulary.names
    flags = state["prompts.cache.is_initialised"][:-1].tolist()
    assert found.classes == names
    assert found.known() == tuple(name for name, yes in zip(names, flags, strict=True) if yes)
    assert torch.equal(found.prompts.cache.rows, state["prompts.cache.rows"])
