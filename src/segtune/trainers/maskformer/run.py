"""From a recipe to a folder with mask proposals, resumable at any step."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segtune.backbones.cards import CARDS
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.hub import default_device, load_backbone
from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.model import MaskFormer
from segtune.backbones.two_stage.files import MODEL_TYPE as PAIR
from segtune.data.formats import open_dataset
from segtune.data.protocols import open_for
from segtune.errors import SegtuneError
from segtune.storage.files import atomic_write
from segtune.train.checkpoints import read_state
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.run_files import CHECKPOINT, RunFiles, identity_of
from segtune.trainers.bundled.scenes.dense_words import seen_classes
from segtune.trainers.maskformer.batches import Batches, labelled
from segtune.trainers.maskformer.init import start_from
from segtune.trainers.maskformer.model import Trainee
from segtune.trainers.maskformer.recipe import KIND, ProposalRecipe, make_recipe, read_recipe
from segtune.types import Dataset
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates

log = logging.getLogger(__name__)

MODEL = "model"
"""Folder of the finished model in that of the run."""


def run(
    recipe: ProposalRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Trains by a recipe and returns the folder of the model, which `--model FOLDER+CLIP` takes.

    The folder of the run is itself a model: the pair with the CLIP of the words, answering as the
    system of the recipe does.

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
    dataset = open_labelled(recipe)
    trainee, class_ids = make_trainee(recipe, dataset, device=device)
    learned = sum(p.numel() for p in trainee.parameters() if p.requires_grad)
    log.info(
        "%.1f M parameters learn %d classes of %d images on %s in %s; %d steps of %d images",
        learned / 1e6,
        len(class_ids),
        len(dataset),
        device.type,
        recipe.precision,
        recipe.steps,
        recipe.batch,
    )
    done = train(
        trainee,
        Batches(dataset, recipe, class_ids),
        recipe.pace(),
        files=RunFiles.in_folder(out, KIND.values(recipe), resume=resume),
        progress=progress,
        stop_after=stop_after,
    )
    if done < recipe.steps:
        return None
    folder = save_maskformer(trainee.model, out / MODEL)
    write_pair(recipe, out)
    return folder


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    recipe = read_recipe(path, overrides=settings)
    folder = run(recipe, out=out, resume=resume)
    use = f"use it as --model {out} or --model {folder}+{recipe.text}"
    return Outcome(f"wrote {folder}; {use}")


def write_pair(recipe: ProposalRecipe, out: Path) -> None:
    """Writes the `config.json` that makes `out` the pair of `out / MODEL` and the CLIP."""
    settings = {"threshold": recipe.threshold, "weight": recipe.fusion_weight}
    is_local = recipe.text not in CARDS and Path(recipe.text).exists()
    values = {
        "model_type": PAIR,
        "name": recipe.name,
        "proposals": MODEL,
        "clip": str(Path(recipe.text).resolve()) if is_local else recipe.text,
        "recipe": recipe.pair,
        "dense_size": recipe.dense_size,
        "templates": recipe.templates,
        "settings": {key: value for key, value in settings.items() if value is not None},
    }
    with atomic_write(out / "config.json") as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def export_run(out: Path, folder: Path) -> Path:
    """Writes the weights in the last checkpoint of a run, which may still be going on."""
    state = read_state(out / CHECKPOINT)
    recipe = make_recipe(identity_of(state))
    weights = state["parts"]["model"]
    prefix = "model."
    model = fresh_model(recipe, joint_width=weights[f"{prefix}no_object"].numel())
    model.load_state_dict({key.removeprefix(prefix): value for key, value in weights.items()})
    log.info("step %d of %s", state["step"], out)
    return save_maskformer(model, folder)


def open_labelled(recipe: ProposalRecipe) -> Dataset:
    """Returns the training data with the tags of the protocol; its first sample has a label map."""
    if recipe.protocol is None:
        dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    else:
        dataset = open_for(recipe.protocol, recipe.data, layout=recipe.layout, split=recipe.split)
    if not len(dataset):
        raise SegtuneError(f"{recipe.data} has no image in the split {recipe.split!r}")
    labelled(dataset, 0)
    return dataset


def make_trainee(
    recipe: ProposalRecipe, dataset: Dataset, *, device: str | torch.device = "cpu"
) -> tuple[Trainee, list[int]]:
    """Returns the model to train and the ids of the classes that it learns: all but unseen ones."""
    clip = load_backbone(recipe.text, device=device)
    if not isinstance(clip, ClipVit):
        raise SegtuneError(
            f"text={recipe.text} is a {clip.kind}; words come from a CLIP ViT like clip-vit-tiny"
        )
    class_ids, vocabulary = seen_classes(dataset.vocabulary)
    words = embed_vocabulary(clip, vocabulary, read_templates(recipe.templates), use_cache=False)
    torch.manual_seed(recipe.seed)  # of fresh weights, then of dropout and stochastic depth
    model = fresh_model(recipe, joint_width=clip.joint_width)
    log.info(start_from(model, recipe.init))
    return Trainee(model, words, recipe).to(device), class_ids


def fresh_model(recipe: ProposalRecipe, *, joint_width: int) -> MaskFormer:
    """Returns a MaskFormer of the sizes of a recipe, with fresh weights."""
    config = recipe.model_config(joint_width)
    return MaskFormer(config, name=recipe.name, dense_size=recipe.dense_size)
