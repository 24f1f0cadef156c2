from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segtune.trainers.bundled.clip.recipe import ClipRecipe
from tests.cli.conftest import Run


def test_a_zoo_recipe_goes_to_its_trainer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[ClipRecipe, Path, bool]] = []

    def train(config: ClipRecipe, *, out: Path, resume: bool) -> Path:
        calls.append((config, out, resume))
        return out / "model"

    monkeypatch.setattr("segtune.trainers.bundled.clip.train.run", train)
    Path("clip.yaml").write_text("system: zoo/clip_vit\npreset: cpu\nseed: 3\n")
    outcome = run("train", "clip.yaml", "--resume", "--set", "num_steps=7", "--set", "lr=1e-3")
    assert (outcome.status, outcome.out) == (0, "wrote runs/clip/model\n")
    [(config, out, resume)] = calls
    assert (config.seed, config.steps, config.lr) == (3, 7, 0.001)
    assert (out, resume) == (Path("runs/clip"), True)


def test_other_recipes_go_to_run_recipe(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    def run_recipe(path: Path, **options: Any) -> dict[str, Any]:
        calls.update(options, path=path)
        return {"zero_shot": {"mIoU": 0.1}, "last": {"step": 1, "mIoU": 0.5}, "protocol": {}}

    monkeypatch.setattr("segtune.fewshot.run.run_recipe", run_recipe)
    Path("r.yaml").write_text("system: rpn\ndata: synthetic:jargon\n")
    outcome = run("train", "r.yaml", "--out", "here", "--set", "fit.loop.steps=5")
    assert (outcome.status, outcome.err) == (0, "")
    assert "50.0" in outcome.out
    assert calls == {
        "path": Path("r.yaml"),
        "out": Path("here"),
        "resume": False,
        "overrides": {"fit.loop.steps": 5},
    }


def test_a_recipe_for_pairs(run: Run, model_folder: str) -> None:
    Path("pairs.yaml").write_text(
        "system: ovseg/pairs\ndata: synthetic:base?size=64&length=2\ntemplates: name\n"
        "stages: [{mode: ft}, {mode: mpt, depth: 2}]\nsteps: 2\nbatch: 4\n"
        "evaluate: synthetic:base?size=64&length=2\n"
    )
    outcome = run("train", "pairs.yaml", "--set", f"model={model_folder}", "--set", "steps=1")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("pairs: names of labelled regions, {'data': 'synthetic:base")
    assert [line.split()[0] for line in lines[1:5]] == ["%", "before", "1-ft", "2-mpt"]
    model, prompts = Path("runs/pairs/tiny-ft"), Path("runs/pairs/prompts.safetensors")
    assert lines[-1] == f"wrote {model}, {prompts}, runs/pairs"
    Path("masks").mkdir()
    Image.new("L", (20, 16), 255).save("masks/0.png")
    Image.new("RGB", (20, 16)).save("photo.png")
    outcome = run(
        *("segment", "photo.png", "--masks", "masks", "--vocab", "plain, dotted"),
        *("--model", model, "--prompts", prompts),
    )
    assert (outcome.status, outcome.err) == (0, "")
    outcome = run("train", "pairs.yaml", "--set", f"model={model_folder}")
    assert outcome.status == 2
    assert "already holds a finished run" in outcome.err


def test_a_recipe_for_mask_proposals(run: Run, labelled: Path, model_folder: str) -> None:
    Path("masks.yaml").write_text("system: ovseg/maskformer\npreset: tiny\nsteps: 1\nbatch: 2\n")
    sizes = [f"{name}=16" for name in ("feedforward", "class_hidden")] + ["decoder_layers=1"]
    views = ["crop=64", "shorts=[64]", "dense_size=64", "templates=name"]
    changes = [*sizes, *views, f"data={labelled}", "split=null", f"text={model_folder}"]
    command = ["train", "masks.yaml", *(word for item in changes for word in ("--set", item))]
    segment = ("segment", "photo.png", "--vocab", "star, grass")
    outcome = run(*command)
    assert outcome.status == 0, outcome.err
    pair = f"runs/masks/model+{model_folder}"
    use = f"use it as --model runs/masks or --model {pair}"
    assert outcome.out == f"wrote runs/masks/model; {use}\n"
    Image.new("RGB", (20, 16)).save("photo.png")
    outcome = run(*segment, "--model", "runs/masks")
    assert (outcome.status, outcome.err) == (0, "")
    outcome = run(*segment, "--model", pair, "--templates", "name")
    assert (outcome.status, outcome.err) == (0, "")
    outcome = run(*command)
    assert outcome.status == 2
    assert "runs/masks already holds a run; add --resume" in outcome.err
    assert run(*command, "--resume").status == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no recipe at r.yaml"),
        ("a: [", "is not valid YAML"),
        ("- rpn", "is not a mapping of settings"),
        ("system: zoo/clip_vit\nwidgets: 3", "'widgets' is not a field"),
        ("system: ovseg/pairs\nstages: [{mode: ft}]", "needs `pairs:`, `data:` or both"),
        (
            "system: ovseg/pairs\ndata: photos\nspeed: 3",
            "'speed' is not a field; did you mean",
        ),
        ("system: ovseg/maskformer", "names no data; add for example --set data=COCO"),
        ("system: ovseg/maskformer\npreset: ovseg-swin", "did you mean ovseg-swinb?"),
        ("system: ovseg/maskformer\ndata: nowhere", "nowhere"),
        ("system: unheard-of\ndata: synthetic:jargon", "unheard-of"),
    ],
)
def test_recipes_that_are_none(run: Run, content: str | None, expected: str) -> None:
    if content is not None:
        Path("r.yaml").write_text(content)
    outcome = run("train", "r.yaml")
    assert outcome.status == 2
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
