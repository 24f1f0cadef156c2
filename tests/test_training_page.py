"""What `docs/training.md` says: its tables, and what its trainer learns."""

from dataclasses import fields
from pathlib import Path

import torch

from segtune.fewshot.run import Recipe
from segtune.train.config import LoopConfig
from segtune.train.names import RENAMED, RESPELLED
from segtune.trainers.bundled.clip.recipe import ClipRecipe
from segtune.trainers.maskformer.recipe import ProposalRecipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """Returns the cells of the table with this header, without quotes of code."""
    lines = PAGE.split(header, 1)[1].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in table]


def test_earlier_names_are_those_that_are_read() -> None:
    stated = dict(rows("| earlier | now |"))
    respelled = {f"{name}: {old}": f"{name}: {new}" for (name, old), new in RESPELLED.items()}
    assert stated == dict(RENAMED) | respelled


def test_settings_are_fields_of_recipes() -> None:
    stated = {row[0] for row in rows("| setting | means |")}
    for config in (ProposalRecipe, ClipRecipe):
        assert stated <= {field.name for field in fields(config)}
    prompts = {field.name for field in (*fields(LoopConfig), *fields(Recipe))}
    assert stated <= prompts


def test_the_trainer_of_your_own_learns() -> None:
    code = PAGE.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict[str, object] = {}
    torch.manual_seed(0)
    exec(code, names)
    line = names["line"]
    assert isinstance(line, torch.nn.Linear)
    assert abs(line.weight.item() - 2) < 0.05
