"""Stage 1: from a recipe to a folder of a Uni-OVSeg, resumable at any step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.clip_convnext.random import tiny_clip_convnext
from segtune.backbones.hub import default_device, load_backbone
from segtune.backbones.uniovseg.files import save_uniovseg
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.run_files import RunFiles
from segtune.trainers.uniovseg.masks_batches import MaskBatches, unnamed
from segtune.trainers.uniovseg.masks_model import MasksTrainee
from segtune.trainers.uniovseg.masks_recipe import KIND, RANDOM_CLIP, MasksRecipe, read_recipe
from segtune.types import Dataset

log = logging.getLogger(__name__)

MODEL = "model"
"""Folder of the finished model in that of the run."""


def run(
    recipe: MasksRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Trains by a recipe and returns the folder of the model.

    Args:
        out: folder of the run; see `segtune.train.run_files` for its files.
        resume: continue from the checkpoint in `out`, exactly.
        progress: show a bar where the output is a terminal.
        stop_after: leave after this step with a checkpoint, as an interruption would; returns None.

    Raises:
        SegtuneError: `out` holds a run and `resume` is off, or one of other settings; or the recipe
            does not fit the machine or the data.
    """
    device = default_device()
    if recipe.precision == "bf16" and device.type == "cpu":
        raise SegtuneError("precision=bf16 needs an accelerator; add --set precision=fp32")
    dataset = open_masks(recipe)
    trainee = MasksTrainee(fresh_model(recipe).to(device), recipe)
    log.info(
        "%.1f M parameters learn masks of %d images on %s in %s; %d steps of %d images",
        sum(p.numel() for p in trainee.parameters()) / 1e6,
        len(dataset),
        device.type,
        recipe.precision,
        recipe.steps,
        recipe.batch,
    )
    done = train(
        trainee,
        MaskBatches(dataset, recipe),
        recipe.pace(),
        files=RunFiles.in_folder(out, KIND.values(recipe), resume=resume),
        progress=progress,
        stop_after=stop_after,
    )
    if done < recipe.steps:
        return None
    return save_uniovseg(trainee.model, out / MODEL)


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    folder = run(read_recipe(path, overrides=settings), out=out, resume=resume)
    return Outcome(f"wrote {folder}; use it as --model {folder}")


def open_masks(recipe: MasksRecipe) -> Dataset:
    """Returns the training data; its first sample has masks or a label map."""
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    if not len(dataset):
        raise SegtuneError(f"{recipe.data} has no image in the split {recipe.split!r}")
    unnamed(dataset[0])
    return dataset


def fresh_model(recipe: MasksRecipe) -> UniOvseg:
    """Returns the model to train: fresh decoders on a CLIP, or that of `init`.

    Raises:
        SegtuneError: `clip` or `init` is another kind of model, or of other sizes.
    """
    torch.manual_seed(recipe.seed)  # of fresh weights
    if recipe.init is not None:
        model = load_backbone(recipe.init, device="cpu")
        if not isinstance(model, UniOvseg):
            raise SegtuneError(f"init={recipe.init} is a {model.kind}; expected a Uni-OVSeg")
        if model.config != recipe.model_config(model.config.clip):
            raise SegtuneError(
                f"init={recipe.init} has the sizes {model.config}; give the recipe the same"
            )
        model.name = recipe.name
        return model
    if recipe.clip == RANDOM_CLIP:
        clip = tiny_clip_convnext(seed=recipe.seed)
    else:
        loaded = load_backbone(recipe.clip, device="cpu")
        if not isinstance(loaded, ClipConvNext):
            raise SegtuneError(
                f"clip={recipe.clip} is a {loaded.kind}; expected a CLIP with a ConvNeXt"
            )
        clip = loaded
    return UniOvseg(recipe.model_config(clip.config), clip, name=recipe.name)
