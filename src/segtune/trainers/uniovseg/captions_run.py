"""Stage 2: from a recipe to a prompt file with the adapter, resumable at any step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtune.backbones.base import prompt_fingerprint
from segtune.backbones.hub import default_device, load_backbone
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.prompts import Prompts
from segtune.systems import build_system
from segtune.systems.uniovseg.model import AdaptedUniOvseg
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.run_files import RunFiles
from segtune.trainers.uniovseg.captions_model import CaptionBatches, CaptionsTrainee
from segtune.trainers.uniovseg.captions_pairs import PairFinder, with_captions
from segtune.trainers.uniovseg.captions_recipe import KIND, CaptionsRecipe, read_recipe
from segtune.types import Dataset, Resolution
from segtune.vocabulary.nouns.registry import make_extractor
from segtune.vocabulary.templates import read_templates

log = logging.getLogger(__name__)

PROMPTS = "prompts.safetensors"
"""Name of the prompt file in the folder of the run."""


def run(
    recipe: CaptionsRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Trains by a recipe and returns the prompt file.

    Args:
        out: folder of the run; see `segtune.train.run_files` for its files.
        resume: continue from the checkpoint in `out`, exactly.
        progress: show a bar where the output is a terminal.
        stop_after: leave after this step with a checkpoint, as an interruption would; returns None.

    Raises:
        SegtuneError: `out` holds a run and `resume` is off, or one of other settings; or the recipe
            does not fit the data or the model.
    """
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    if not len(dataset):
        raise SegtuneError(f"{recipe.data} has no image in the split {recipe.split!r}")
    with_captions(dataset[0])
    system = fresh_system(recipe)
    options = dict(recipe.noun_options)
    extractor = make_extractor(recipe.nouns, vocabulary=dataset.vocabulary, options=options)
    log.info(
        "%d numbers learn from captions of %d images; %d steps of %d images",
        system.num_learned(),
        len(dataset),
        recipe.steps,
        recipe.batch,
    )
    done = train(
        CaptionsTrainee(system, PairFinder(system, extractor, recipe), recipe),
        CaptionBatches(dataset, recipe),
        recipe.pace(),
        files=RunFiles.in_folder(out, KIND.values(recipe), resume=resume),
        progress=progress,
        stop_after=stop_after,
    )
    if done < recipe.steps:
        return None
    return prompts_of(system, dataset, recipe).save(out / PROMPTS)


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    recipe = read_recipe(path, overrides=settings)
    file = run(recipe, out=out, resume=resume)
    return Outcome(f"wrote {file}; use it as --model {recipe.model} --prompts {file}")


def fresh_system(recipe: CaptionsRecipe) -> AdaptedUniOvseg:
    """Returns the system to train, with a fresh adapter.

    Raises:
        SegtuneError: `model` is another kind of model.
    """
    model = load_backbone(recipe.model, device=default_device())
    if not isinstance(model, UniOvseg):
        raise SegtuneError(
            f"model={recipe.model} is a {model.kind}; expected a Uni-OVSeg, as stage 1 leaves it"
        )
    system = build_system("uniovseg", model, recipe.system_options(), seed=recipe.seed)
    assert isinstance(system, AdaptedUniOvseg)
    return system


def prompts_of(system: AdaptedUniOvseg, dataset: Dataset, recipe: CaptionsRecipe) -> Prompts:
    """Returns what was learned, with the words of the data; captions bring none of their own."""
    side = system.backbone.dense_size
    return Prompts(
        system=system.name,
        options=system.config_values(),
        model=system.backbone.name,
        fingerprint=prompt_fingerprint(system.backbone),
        tensors=system.learned(),
        vocabulary=dataset.vocabulary,
        templates=read_templates(recipe.templates),
        resolution=Resolution(side, None, side),
        training={"recipe": KIND.values(recipe), "data": dataset.name},
    )
