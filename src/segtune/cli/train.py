"""`segtune train`: a run by a recipe file, whose `system` finds the trainer."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml

from segtune.cli.tables import percent, print_table
from segtune.errors import SegtuneError, unknown_name
from segtune.systems import SYSTEMS

ZOO = ("zoo/clip_vit", "zoo/maskformer", "zoo/seem")
"""Recipes of bundled models."""
PAIRS = "ovseg/pairs"
"""Recipes that adapt CLIP by mask-category pairs."""
PROPOSALS = "ovseg/maskformer"
"""Recipes that train the mask proposals of two-stage systems."""


def run(options: Namespace) -> int:
    """Trains by the recipe and prints where the results are."""
    out: Path = options.out or Path("runs") / options.recipe.stem
    settings = dict(options.settings)
    system = system_of(options.recipe)
    if system in ZOO:
        _train_model(system, options.recipe, settings, out=out, resume=options.resume)
        return 0
    if system == PAIRS:
        _train_on_pairs(options.recipe, settings, out=out, resume=options.resume)
        return 0
    if system == PROPOSALS:
        _train_proposals(options.recipe, settings, out=out, resume=options.resume)
        return 0
    from segtune.fewshot.run import run_recipe

    metrics = run_recipe(options.recipe, out=out, resume=options.resume, overrides=settings)
    rows = [metrics["zero_shot"], metrics["last"]] if metrics else []
    names = [name for name in metrics.get("zero_shot", {}) if name in metrics["last"]]
    lines = [
        (title, *(percent(row[name]) for name in names))
        for title, row in zip(("zero-shot", "fitted"), rows, strict=False)
    ]
    if lines:
        print_table(("%", *names), lines, title=f"{options.recipe.stem}: {metrics['protocol']}")
    print(f"wrote {out}")
    return 0


def system_of(recipe: Path) -> str:
    """Returns the `system` of a recipe file.

    Raises:
        FileNotFoundError, SegtuneError: no file, or no recipe.
    """
    if not recipe.is_file():
        raise FileNotFoundError(f"no recipe at {recipe}; recipes are YAML files under recipes/")
    try:
        values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegtuneError(f"{recipe} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not isinstance(values.get("system"), str):
        raise SegtuneError(f"{recipe} has no `system:`; write for example `system: rpn` into it")
    system = values["system"]
    known = (*SYSTEMS, *ZOO, PAIRS, PROPOSALS)
    if system not in known:
        raise unknown_name(system, known, what="system of recipes")
    return system


def _train_model(
    system: str, recipe: Path, settings: dict[str, Any], *, out: Path, resume: bool
) -> None:
    if system == "zoo/clip_vit":
        from segtune.trainers.bundled.clip.recipe import make_recipe, read_recipe
        from segtune.trainers.bundled.clip.train import run as train_clip

        values = read_recipe(recipe).to_dict()
        folder = train_clip(make_recipe(**(values | settings)), out=out, resume=resume)
    elif system == "zoo/maskformer":
        from segtune.trainers.bundled.scenes import maskformer_recipe
        from segtune.trainers.bundled.scenes.train_maskformer import run as train_maskformer

        values = maskformer_recipe.read_recipe(recipe).to_dict()
        mask_recipe = maskformer_recipe.make_recipe(**(values | settings))
        folder = train_maskformer(mask_recipe, out=out, resume=resume)
    else:
        from segtune.trainers.bundled.scenes import seem_recipe
        from segtune.trainers.bundled.scenes.train_seem import run as train_seem

        values = seem_recipe.read_recipe(recipe).to_dict()
        folder = train_seem(seem_recipe.make_recipe(**(values | settings)), out=out, resume=resume)
    print(f"wrote {folder}")


def _train_on_pairs(recipe: Path, settings: dict[str, Any], *, out: Path, resume: bool) -> None:
    from segtune.trainers.pairs.recipe import read_recipe
    from segtune.trainers.pairs.run import run as train_on_pairs

    adapted = train_on_pairs(read_recipe(recipe, overrides=settings), out=out, resume=resume)
    assert adapted is not None  # it was not asked to stop early
    scores = adapted.metrics["scores"]
    names = list(scores["before"])
    rows = [(stage, *(percent(row[name]) for name in names)) for stage, row in scores.items()]
    if names:
        title = f"{recipe.stem}: names of labelled regions, {adapted.metrics['protocol']}"
        print_table(("%", *names), rows, title=title)
    written = [adapted.model, adapted.prompts, out]
    print(f"wrote {', '.join(str(path) for path in written if path is not None)}")


def _train_proposals(recipe: Path, settings: dict[str, Any], *, out: Path, resume: bool) -> None:
    from segtune.trainers.maskformer.recipe import read_recipe
    from segtune.trainers.maskformer.run import run as train_proposals

    chosen = read_recipe(recipe, overrides=settings)
    folder = train_proposals(chosen, out=out, resume=resume)
    print(f"wrote {folder}; use it as --model {out} or --model {folder}+{chosen.text}")
