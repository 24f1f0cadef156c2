"""The command line of a training script of the bundled models."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any


def run_command(
    arguments: Sequence[str] | None,
    *,
    module: str,
    description: str | None,
    example: str,
    read_recipe: Callable[[Path], Any],
    run: Callable[..., Path],
    export_run: Callable[[Path, Path], Path],
) -> None:
    """Trains by a recipe, or exports what a run has learned so far.

    Args:
        arguments: words of the command; None takes those of the process.
        module: that is run by `python -m`.
        example: a recipe for the messages.
        read_recipe: from a path to a recipe with a `seed`.
        run: called with the recipe, `out` and `resume`.
        export_run: called with the folder of a run and that of the model.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("recipe", type=Path, nargs="?", help=f"YAML file: {example}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--seed", type=int, help="in place of the recipe's")
    parser.add_argument(
        "--export", type=Path, help="only write the last checkpoint of --out to this model folder"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.export:
        print(f"wrote {export_run(options.out, options.export)}")
        return
    if options.recipe is None:
        parser.error(f"give a recipe, for example {example}")
    recipe = read_recipe(options.recipe)
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    print(f"wrote {run(recipe, out=options.out, resume=options.resume)}")
