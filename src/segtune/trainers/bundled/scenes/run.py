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
from segtune.train.checkpoints import read_state
from segtune.trainers.bundled.scenes.batch import Batch, Batches
from segtune.trainers.loop import CHECKPOINT, Rates, make_optimizers, split_parameters, train
from segtune.types import Dataset

log = logging.getLogger(__name__)

MODEL = "model"


class Trainee(nn.Module, ABC):
    """A model with whatever else it needs in training only.

    Attributes:
        tables: last parts of the names of parameters that are matrices in shape only.
    """

    tables: ClassVar[tuple[str, ...]]

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch; names that start with "_" are logged only."""

    @abstractmethod
    def export(self, folder: Path) -> Path:
        """Writes the model into a folder, in half precision, and returns it."""


MakeTrainee = Callable[[Any, Dataset], tuple[Trainee, list[int]]]
"""From a recipe and its dataset to a fresh trainee and the ids of the classes that it learns."""


def run_scenes(
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
        recipe: all settings, a `SceneRecipe` with what its model adds.
        make_trainee: of this kind of recipe.
        out: folder of the run; see `segtune.trainers.loop.train` for its files.
        resume: continue from the checkpoint in `out`, exactly.
        stop_after: leave after this step with a checkpoint, as an interruption would.
    """
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    trainee, class_ids = make_trainee(recipe, dataset)
    trainee.to(default_device())
    rates = Rates(recipe.lr, recipe.muon_lr, recipe.weight_decay, recipe.num_warmup_steps)
    train(
        out,
        settings=recipe.to_dict(),
        model=trainee,
        optimizers=make_optimizers(*split_parameters(trainee, trainee.tables), rates),
        rates=rates,
        num_steps=recipe.num_steps,
        batch_at=Batches(dataset, recipe, class_ids),
        losses_of=trainee.losses,
        save_every=recipe.save_every,
        resume=resume,
        progress=progress,
        stop_after=stop_after,
    )
    return trainee.export(out / MODEL)


def export_scenes(
    out: Path, folder: Path, make_recipe: Callable[..., Any], make_trainee: MakeTrainee
) -> Path:
    """Exports the weights in the last checkpoint of a run, which may still be going on."""
    state = read_state(out / CHECKPOINT)
    recipe = make_recipe(**state["extra"]["recipe"])
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
