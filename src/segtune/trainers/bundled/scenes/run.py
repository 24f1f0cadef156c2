"""A training run of a bundled mask model: from a recipe to a model folder."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from segtune.backbones.hub import default_device
from segtune.data.formats import open_dataset
from segtune.train.checkpoints import Stateful, read_state
from segtune.train.loop import train
from segtune.train.optimizers import muon_and_adamw, split_parameters
from segtune.train.recipe import RecipeKind
from segtune.train.run_files import CHECKPOINT, RunFiles, identity_of
from segtune.train.trainable import Trainable
from segtune.trainers.bundled.scenes.batch import Batch, Batches
from segtune.trainers.bundled.scenes.recipe import SceneRecipe
from segtune.types import Dataset

log = logging.getLogger(__name__)

MODEL = "model"


class Trainee(nn.Module, Trainable, ABC):
    """A model with whatever else it needs in training only.

    Attributes:
        tables: last parts of the names of parameters that are matrices in shape only.
        recipe: the rates.
    """

    tables: ClassVar[tuple[str, ...]]
    recipe: SceneRecipe

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch; names that start with "_" are logged only."""

    @abstractmethod
    def export(self, folder: Path) -> Path:
        """Writes the model into a folder, in half precision, and returns it."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns Muon for the matrices and AdamW for the rest."""
        recipe = self.recipe
        return muon_and_adamw(
            *split_parameters(self, self.tables),
            lr=recipe.lr,
            muon_lr=recipe.muon_lr,
            weight_decay=recipe.weight_decay,
        )

    def state(self) -> dict[str, Stateful]:
        """Returns all weights."""
        return {"model": self}


MakeTrainee = Callable[[Any, Dataset], tuple[Trainee, list[int]]]
"""From a recipe and its dataset to a fresh trainee and the ids of the classes that it learns."""


def run_scenes(
    kind: RecipeKind[Any],
    recipe: Any,
    make_trainee: MakeTrainee,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Path:
    """Trains by a recipe and returns the folder of the exported model.

    Args:
        kind: of the recipe.
        recipe: all settings, a `SceneRecipe` with what its model adds.
        make_trainee: of this kind of recipe.
        out: folder of the run; see `segtune.train.run_files` for its files.
        resume: continue from the checkpoint in `out`, exactly.
        stop_after: leave after this step with a checkpoint, as an interruption would.
    """
    files = RunFiles.in_folder(out, kind.values(recipe), resume=resume)
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    trainee, class_ids = make_trainee(recipe, dataset)
    trainee.to(default_device())
    train(
        trainee,
        Batches(dataset, recipe, class_ids),
        recipe.pace(),
        files=files,
        progress=progress,
        stop_after=stop_after,
    )
    return trainee.export(out / MODEL)


def export_scenes(
    kind: RecipeKind[Any], make_trainee: MakeTrainee, out: Path, folder: Path
) -> Path:
    """Exports the weights in the last checkpoint of a run, which may still be going on."""
    state = read_state(out / CHECKPOINT)
    recipe = kind.make(identity_of(state))
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    trainee, _ = make_trainee(recipe, dataset)
    trainee.load_state_dict(state["parts"]["model"])
    log.info("step %d of %s", state["step"], out)
    return trainee.export(folder)


def by_kind(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the sums of a set loss over all decoder layers: class, mask, dice."""
    return {
        kind: torch.stack([v for k, v in terms.items() if k.startswith(f"loss_{kind}")]).sum()
        for kind in ("class", "mask", "dice")
    }
