"""Runs by recipe: what they write, how they resume, and which prompts they keep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.fewshot.run import (
    METRICS,
    PROMPTS,
    Recipe,
    read_recipe,
    recipe_from,
    run_recipe,
)
from segtune.prompts import Prompts
from segtune.trainers import PROMPTS as FITS
from segtune.trainers import trainer_of
from tests.cli.conftest import export_tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    values = {
        "system": "rpn",
        "data": "synthetic:base-15-5?size=64&length=4",
        "model": export_tiny(folder / "tiny", seed=0),
        "templates": "name",
        "fit": {
            "batch": 2,
            "views": 0,
            "short_side": 32,
            "crop": 32,
            "loop": {"steps": 4, "warmup": 0, "save_every": 2},
        },
        "evaluate": {"split": "test", "every": 2, "limit": 2},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_run_can_be_repeated_from_what_it_wrote(recipe, tmp_path):
    first = run_recipe(recipe, out=tmp_path / "a")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"recipe.yaml", "versions.json", PROMPTS, METRICS, "evaluations.jsonl"} <= names
    again = run_recipe(tmp_path / "a" / "recipe.yaml", out=tmp_path / "b")
    assert first == again
    assert (tmp_path / "a" / PROMPTS).read_bytes() == (tmp_path / "b" / PROMPTS).read_bytes()
    assert first["protocol"]["select"] == "last"
    assert first["last"] == first["kept"]
    assert {"mIoU(S)", "mIoU(U)", "hIoU", "pAcc"} <= set(first["zero_shot"])
    rows = [json.loads(line) for line in (tmp_path / "a" / "evaluations.jsonl").open()]
    assert [row["step"] for row in rows] == [2, 4]
    with pytest.raises(SegtuneError, match="finished run"):
        run_recipe(recipe, out=tmp_path / "a")


def test_selection_keeps_the_best_and_says_so(recipe, tmp_path):
    metrics = run_recipe(recipe, out=tmp_path / "a", overrides={"evaluate.select": "best_seen"})
    rows = [json.loads(line) for line in (tmp_path / "a" / "evaluations.jsonl").open()]
    assert metrics["kept"]["mIoU(S)"] == max(row["mIoU(S)"] for row in rows)
    assert Prompts.load(tmp_path / "a" / PROMPTS).metrics["step"] == metrics["kept"]["step"]


def test_a_started_run_needs_resume(recipe, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "recipe.yaml").write_text("")
    with pytest.raises(SegtuneError, match="--resume"):
        run_recipe(recipe, out=tmp_path / "a")
    assert run_recipe(recipe, out=tmp_path / "a", resume=True)


def test_after_divergence_a_lower_rate_starts_again(recipe, tmp_path):
    """In the same folder and without --resume, as the message says."""
    fast = {"fit.loop.lr": 1e20, "fit.loop.steps": 60, "fit.loop.save_every": 1}
    with pytest.raises(SegtuneError, match="lower the rate"):
        run_recipe(recipe, out=tmp_path / "a", overrides=fast)
    assert not (tmp_path / "a" / METRICS).exists()
    assert run_recipe(recipe, out=tmp_path / "a") == run_recipe(recipe, out=tmp_path / "b")


def test_old_names_are_read(recipe, tmp_path):
    old = {"precision": "no", "fit.loop.warmup_steps": 7}
    read = read_recipe(recipe, overrides=old)
    assert (read.precision, read.fit.loop.warmup) == ("fp32", 7)
    assert read == read_recipe(recipe, overrides={"fit.loop.warmup": 7})


def test_what_a_recipe_leaves_open_is_as_in_a_fit(recipe):
    loop = read_recipe(recipe).fit.loop
    assert (loop.steps, loop.lr, loop.clip_norm) == (4, 1e-3, 1.0)


def test_committed_recipes_are_valid():
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        system = yaml.safe_load(path.read_text())["system"]
        if trainer_of(system).run == FITS:  # others have readers and tests of their own
            assert isinstance(read_recipe(path), Recipe), path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"system": "rpn"}, "data"),
        ({"system": "rpn", "data": "x", "fitt": {}}, "fitt"),
        ({"system": "rpn", "data": "x", "fit": {"loop": {"steps": "many"}}}, "steps"),
        ({"system": "rpn", "data": "x", "evaluate": {"select": "best"}}, "select"),
    ],
)
def test_wrong_recipes_name_the_field(values, message):
    with pytest.raises(SegtuneError, match=message) as error:
        recipe_from(values)
    assert "\n" not in str(error.value)


def test_recipe_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_recipe(tmp_path / "absent.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(SegtuneError, match="not valid YAML"):
        read_recipe(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- a")
    with pytest.raises(SegtuneError, match="not a mapping"):
        read_recipe(tmp_path / "a.yaml")


def test_words_that_are_not_scored_cannot_be_learned(recipe, tmp_path):
    values = yaml.safe_load(recipe.read_text()) | {"protocol": "PAS-20b"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(SegtuneError, match="PAS-20b scores voc_21 by the words of context_59"):
        run_recipe(tmp_path / "recipe.yaml", out=tmp_path / "out")


@pytest.mark.slow
def test_two_processes_learn_the_same_prompts_together(recipe, tmp_path):
    """`accelerate launch` on two CPU processes: one file, written once, and it is finite."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["-m", "segtune.fewshot.run", str(recipe), "--out", str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    prompts = Prompts.load(tmp_path / "a" / PROMPTS)
    assert all(value.isfinite().all() for value in prompts.tensors.values())
