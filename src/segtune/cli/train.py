"""`segtune train`: a run by a recipe file, whose `system` finds the trainer."""

from __future__ import annotations

import os
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

from segtune.cli.tables import percent, print_table
from segtune.errors import SegtuneError
from segtune.storage.locks import locked
from segtune.storage.outputs import check_folder
from segtune.storage.registry import resolve
from segtune.train.outcome import Outcome
from segtune.train.recipe import read_yaml
from segtune.train.run_files import is_run
from segtune.trainers import trainer_of


def run(options: Namespace) -> int:
    """Trains by the recipe and prints where the results are."""
    out: Path = options.out or Path("runs") / options.recipe.stem
    train_recipe = resolve(trainer_of(system_of(options.recipe)).run)
    check_out(out)
    with locked(out) if _is_main_process() else nullcontext():
        outcome: Outcome = train_recipe(
            options.recipe, dict(options.settings), out=out, resume=options.resume
        )
    if outcome.scores:
        names = list(next(iter(outcome.scores.values())))
        rows = [
            (row, *(percent(scores[name]) for name in names))
            for row, scores in outcome.scores.items()
        ]
        print_table(("%", *names), rows, title=outcome.title)
    print(outcome.wrote)
    return 0


def check_out(out: Path) -> None:
    """Raises where a run could not, or must not, write its files.

    Raises:
        SegtuneError: `out` is a file, cannot be written into, or holds something else than a run.
    """
    check_folder(out, writes=(), is_ours=is_run, force=False)
    if out.is_dir() and not is_run(out) and (others := sorted(path.name for path in out.iterdir())):
        raise SegtuneError(f"{out} holds other files, such as {others[0]}; choose another --out")


def _is_main_process() -> bool:
    """Whether this process writes the files, where `accelerate launch` has started several."""
    return os.environ.get("RANK", "0") == "0"


def system_of(recipe: Path) -> str:
    """Returns the `system` of a recipe file.

    Raises:
        FileNotFoundError, SegtuneError: no file, or no recipe.
    """
    values = read_yaml(recipe, example="recipes/rpn/base.yaml")
    if not isinstance(values.get("system"), str):
        raise SegtuneError(f"{recipe} has no `system:`; write for example `system: rpn` into it")
    system: str = values["system"]
    return system
