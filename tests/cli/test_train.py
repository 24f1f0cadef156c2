from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

from segtune.zoo.clip_recipe import ClipRecipe


def test_a_zoo_recipe_goes_to_its_trainer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[ClipRecipe, Path, bool]] = []

    def train(config: ClipRecipe, *, out: Path, resume: bool) -> Path:
        calls.append((config, out, resume))
        return out / "model"

    monkeypatch.setattr("segtune.zoo.train_clip.run", train)
    Path("clip.yaml").write_text("system: zoo/clip_vit\npreset: cpu\nseed: 3\n")
    outcome = run("train", "clip.yaml", "--resume", "--set", "num_steps=7", "--set", "lr=1e-3")
    assert (outcome.status, outcome.out) == (0, "wrote runs/clip/model\n")
    [(config, out, resume)] = calls
    assert (config.seed, config.num_steps, config.lr) == (3, 7, 0.001)
    assert (out, resume) == (Path("runs/clip"), True)


def test_other_recipes_go_to_run_recipe(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    def run_recipe(path: Path, **options: Any) -> dict[str, Any]:
        calls.update(options, path=path)
        return {"zero_shot": {"mIoU": 0.1}, "last": {"step": 1, "mIoU": 0.5}, "protocol": {}}

    monkeypatch.setattr("segtune.train.run.run_recipe", run_recipe)
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no recipe at r.yaml"),
        ("a: [", "is not YAML"),
        ("- rpn", "has no `system:`"),
        ("system: zoo/clip_vit\nsteps: 3", "unknown settings ['steps']"),
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
