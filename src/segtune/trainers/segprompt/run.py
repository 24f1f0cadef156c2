"""From a recipe to the folder of a model that finds objects, resumable at any step."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from segtune.backbones.cards import BUNDLED
from segtune.backbones.hub import default_device
from segtune.backbones.mask2former.files import load_mask2former, save_mask2former
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.reading.key_tables import load_strictly
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.systems.segprompt.files import save_prompts
from segtune.systems.segprompt.prompts import SegPrompts
from segtune.train.checkpoints import read_state
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.processes import make_accelerator
from segtune.train.run_files import CHECKPOINT, RunFiles, identity_of
from segtune.trainers.segprompt.batches import Batches, class_sets
from segtune.trainers.segprompt.model import Trainee
from segtune.trainers.segprompt.recipe import KIND, SegPromptRecipe, make_recipe, read_recipe
from segtune.types import Dataset

log = logging.getLogger(__name__)


def run(
    recipe: SegPromptRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Trains by a recipe and returns the folder of the run, which `--model` takes.

    Args:
        out: folder of the run; see `segtune.train.run_files` for its files.
        resume: continue from the checkpoint in `out`, exactly.
        progress: show a bar where the output is a terminal.
        stop_after: leave after this step with a checkpoint, as an interruption would; returns None.

    Raises:
        SegtuneError: `out` holds a run and `resume` is off, or one of other settings; or the recipe
            does not fit the data.
    """
    accelerator = make_accelerator("fp32") if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
    rank = 0 if accelerator is None else accelerator.process_index
    count = 1 if accelerator is None else accelerator.num_processes
    device = default_device() if accelerator is None else accelerator.device
    files = RunFiles.in_folder(out, KIND.values(recipe), resume=resume)
    if accelerator is not None:
        accelerator.wait_for_everyone()  # until all processes have looked into the folder
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    trainee = make_trainee(recipe, dataset).to(device)
    learned = sum(p.numel() for p in trainee.parameters() if p.requires_grad)
    log.info(
        "%.2f M parameters learn %d known classes of %d images on %s; %d steps of %d images",
        learned / 1e6,
        len(trainee.classes.known),
        len(dataset),
        device,
        recipe.steps,
        recipe.batch,
    )
    done = train(
        trainee,
        Batches(dataset, recipe, rank=rank, processes=count),
        recipe.pace(),
        files=files,
        progress=progress,
        stop_after=stop_after,
        accelerator=accelerator,
    )
    if done < recipe.steps:
        return None
    return save(trainee, out, dataset.vocabulary.names) if rank == 0 else out


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    recipe = read_recipe(path, overrides=settings)
    run(recipe, out=out, resume=resume)
    return Outcome(f"wrote {out}; use it as --model {out}")


def make_trainee(recipe: SegPromptRecipe, dataset: Dataset) -> Trainee:
    """Returns what is trained, on the CPU; its fresh weights depend on the seed alone."""
    if not len(dataset):
        raise SegtuneError(f"{recipe.data} has no image in the split {recipe.split!r}")
    classes = class_sets(dataset.vocabulary, recipe.known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Mask2Former(recipe.model_config(), name=recipe.name)
        model.dense_size = recipe.dense_size or recipe.crop
        prompts = None
        if recipe.with_prompts:
            prompts = SegPrompts(
                recipe.prompts, num_classes=len(dataset.vocabulary), width=recipe.hidden
            )
    if recipe.init is not None:
        start_from(model, recipe.init)
    return Trainee(model, prompts, recipe, classes)


def start_from(model: Mask2Former, init: str) -> None:
    """Replaces the weights by those of a name, folder or file; queries beyond its own stay fresh.

    Raises:
        WeightsError: another size differs.
    """
    bundled = {card.name: card for card in BUNDLED if card.kind == model.kind}
    path = bundled[init].path() if init in bundled else Path(init)
    start = load_mask2former(path, class_agnostic=True)
    state = start.state_dict()
    for name in ("decoder.query_content", "decoder.query_position"):
        fresh = model.state_dict()[name][len(state[name]) :]
        if fresh.shape[1:] == state[name].shape[1:]:
            state[name] = torch.cat([state[name], fresh])
    load_strictly(model, state, init)
    model.normalisation = start.normalisation


def save(trainee: Trainee, folder: Path, classes: Sequence[str]) -> Path:
    """Writes the plain Mask2Former, whose config says how it was trained, and prompts beside it.

    Args:
        classes: names of the rows of the cache.
    """
    trainee.model.training_notes = described(trainee.recipe)
    save_mask2former(trainee.model, folder, half=trainee.recipe.half)
    if trainee.prompts is not None:
        save_prompts(trainee.prompts, classes, folder)
    return folder


def described(recipe: SegPromptRecipe) -> dict[str, str | int | float | bool]:
    """Returns what a result of a model has to say about its training."""
    values: dict[str, str | int | float | bool] = {
        "method": "segprompt" if recipe.with_prompts else "class-agnostic baseline",
        "data": recipe.data,
        "steps": recipe.steps,
        "batch": recipe.batch,
        "seed": recipe.seed,
    }
    if recipe.with_prompts:
        config = recipe.prompts
        values |= {
            "image_lists": config.image_lists,
            "absent_from_all": config.absent_from_all,
            "masks_of_all_classes": config.masks_of_all_classes,
        }
    return values


def export_run(out: Path, folder: Path) -> Path:
    """Writes the weights in the last checkpoint of a run, which may still be going on."""
    state = read_state(out / CHECKPOINT)
    recipe = make_recipe(identity_of(state))
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    trainee = make_trainee(recipe, dataset)
    trainee.load_state_dict(state["parts"]["model"])
    log.info("step %d of %s", state["step"], out)
    return save(trainee, folder, dataset.vocabulary.names)
