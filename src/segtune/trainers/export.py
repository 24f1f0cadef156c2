"""Writes the model of a run that is still going on, from its last checkpoint.

python -m segtune.trainers.export runs/seem somewhere/model
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from segtune.errors import unknown_name
from segtune.train.checkpoints import read_state
from segtune.train.run_files import CHECKPOINT, identity_of

EXPORTS: Mapping[str, str] = {
    "zoo/clip_vit": "segtune.trainers.bundled.clip.train:export_run",
    "zoo/maskformer": "segtune.trainers.bundled.scenes.train_maskformer:export_run",
    "zoo/seem": "segtune.trainers.bundled.scenes.train_seem:export_run",
    "ovseg/maskformer": "segtune.trainers.maskformer.run:export_run",
    "segprompt": "segtune.trainers.segprompt.run:export_run",
}
"""`system` of a recipe -> function of the folders of a run and of a model."""


def export(run: Path, folder: Path, *, system: str | None = None) -> Path:
    """Writes the weights in the last checkpoint of a run to a model folder, and returns it.

    Args:
        run: folder with a checkpoint.
        system: of its recipe, for checkpoints that do not name it.

    Raises:
        SegtuneError: runs of this system have nothing to export.
    """
    name = system or str(identity_of(read_state(run / CHECKPOINT)).get("system"))
    if name not in EXPORTS:
        raise unknown_name(name, EXPORTS, what="system whose runs can be exported (--system)")
    module, _, function = EXPORTS[name].partition(":")
    written: Path = getattr(import_module(module), function)(run, folder)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m segtune.trainers.export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("folder", type=Path, help="model folder to write")
    parser.add_argument("--system", help="of the recipe, where the checkpoint does not name it")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(f"wrote {export(options.run, options.folder, system=options.system)}")


if __name__ == "__main__":
    main()
