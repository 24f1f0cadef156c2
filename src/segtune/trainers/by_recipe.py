"""From a recipe file to what it trains: one function per trainer, which imports it when called.

All of them take the path of the recipe, changed fields, the folder of the run, and whether to go on
with what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtune.train.report import Report

Settings = Mapping[str, Any]


def prompts(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Fits the prompts of a system and returns its scores beside those of the model as it is."""
    from segtune.fewshot.run import run_recipe

    metrics = run_recipe(recipe, out=out, resume=resume, overrides=settings)
    if not metrics:
        return Report(f"wrote {out}")
    before, after = metrics["zero_shot"], metrics["last"]
    scores = {
        "zero-shot": {name: before[name] for name in before if name in after},
        "fitted": {name: after[name] for name in before if name in after},
    }
    return Report(f"wrote {out}", f"{recipe.stem}: {metrics['protocol']}", scores)


def pairs(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Adapts a CLIP by mask-category pairs and returns how well it names regions per stage."""
    from segtune.trainers.pairs.recipe import read_recipe
    from segtune.trainers.pairs.run import run

    adapted = run(read_recipe(recipe, overrides=settings), out=out, resume=resume)
    assert adapted is not None  # it was not asked to stop early
    title = f"{recipe.stem}: names of labelled regions, {adapted.metrics['protocol']}"
    files = [adapted.model, adapted.prompts, out]
    written = ", ".join(str(path) for path in files if path is not None)
    return Report(f"wrote {written}", title, adapted.metrics["scores"])


def proposals(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Trains the mask proposals of a two-stage system."""
    from segtune.trainers.maskformer.recipe import read_recipe
    from segtune.trainers.maskformer.run import run

    chosen = read_recipe(recipe, overrides=settings)
    folder = run(chosen, out=out, resume=resume)
    return Report(f"wrote {folder}; use it as --model {out} or --model {folder}+{chosen.text}")


def bundled_clip(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Trains the bundled CLIP."""
    from segtune.trainers.bundled.clip.recipe import make_recipe, read_recipe
    from segtune.trainers.bundled.clip.train import run

    chosen = make_recipe(**{**read_recipe(recipe).to_dict(), **settings})
    return Report(f"wrote {run(chosen, out=out, resume=resume)}")


def bundled_maskformer(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Trains the bundled MaskFormer."""
    from segtune.trainers.bundled.scenes.maskformer_recipe import make_recipe, read_recipe
    from segtune.trainers.bundled.scenes.train_maskformer import run

    chosen = make_recipe(**{**read_recipe(recipe).to_dict(), **settings})
    return Report(f"wrote {run(chosen, out=out, resume=resume)}")


def bundled_seem(recipe: Path, *, settings: Settings, out: Path, resume: bool) -> Report:
    """Trains the bundled SEEM."""
    from segtune.trainers.bundled.scenes.seem_recipe import make_recipe, read_recipe
    from segtune.trainers.bundled.scenes.train_seem import run

    chosen = make_recipe(**{**read_recipe(recipe).to_dict(), **settings})
    return Report(f"wrote {run(chosen, out=out, resume=resume)}")
