"""Trains the bundled CLIP on the synthetic `base` world and writes it as a Hugging Face folder.

segtune train recipes/zoo/clip_vit.yaml --out runs/clip [--resume]
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

from segtune.storage.files import cache_dir
from segtune.train.checkpoints import read_state
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.run_files import CHECKPOINT, RunFiles, identity_of
from segtune.trainers.bundled.clip.batch import make_batch
from segtune.trainers.bundled.clip.captions import training_captions
from segtune.trainers.bundled.clip.model import build_clip, export_clip
from segtune.trainers.bundled.clip.pool import open_pool
from segtune.trainers.bundled.clip.recipe import KIND, ClipRecipe
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer
from segtune.trainers.bundled.clip.trainee import ClipTrainee

log = logging.getLogger(__name__)

MODEL = "model"


def run(
    recipe: ClipRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Trains by a recipe and returns the folder of the exported model.

    Args:
        recipe: all settings.
        out: folder of the run; see `segtune.train.run_files` for its files, beside `model/`.
        resume: continue from the checkpoint in `out`, exactly; start anew where there is none.
        progress: show progress bars when the output is a terminal.
        cache: folder in which rendered training images are kept; None takes that of segtune.
        stop_after: leave after this step with a checkpoint, as an interruption would.
    """
    files = RunFiles.in_folder(out, KIND.values(recipe), resume=resume)
    device = _device(recipe)
    tokenizer = make_tokenizer(recipe)
    model = build_clip(recipe, tokenizer=tokenizer, seed=recipe.seed).train()
    model.to(device)  # type: ignore[arg-type]  # transformers' decorator hides the signature
    # On a CPU the backward pass of fused attention in bfloat16 is several times slower.
    model.set_attn_implementation("eager" if device.type == "cpu" else "sdpa")
    num_params = sum(p.numel() for p in model.parameters())
    log.info("%s, %s, %d parameters", device, recipe.precision, num_params)
    pool = open_pool(recipe, cache or cache_dir(), progress=progress)
    train(
        ClipTrainee(model, tokenizer, recipe),
        partial(make_batch, pool, recipe),
        recipe.pace(),
        files=files,
        progress=progress,
        stop_after=stop_after,
    )
    export_clip(model, tokenizer, out / MODEL)
    return out / MODEL


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    return Outcome(f"wrote {run(KIND.read(path, overrides=settings), out=out, resume=resume)}")


def export_run(out: Path, folder: Path) -> Path:
    """Exports the weights in the last checkpoint of a run, which may still be going on.

    Args:
        out: folder of the run.
        folder: Hugging Face folder to write; an older one is replaced.
    """
    state = read_state(out / CHECKPOINT)
    recipe = KIND.make(identity_of(state))
    tokenizer = make_tokenizer(recipe)
    model = build_clip(recipe, tokenizer=tokenizer, seed=recipe.seed)
    model.load_state_dict(state["parts"]["model"])
    export_clip(model, tokenizer, folder)
    log.info("step %d of %s", state["step"], out)
    return folder


def make_tokenizer(recipe: ClipRecipe) -> CLIPTokenizer:
    """Returns the tokenizer of a recipe; it depends on the world's words and the sizes alone."""
    return train_tokenizer(
        training_captions(), vocab_size=recipe.vocab_size, context_length=recipe.context_length
    )


def _device(recipe: ClipRecipe) -> torch.device:
    if recipe.device != "auto":
        return torch.device(recipe.device)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
