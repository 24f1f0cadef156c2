"""From a recipe to an adapted CLIP and its mask prompts, stage by stage, resumable at any step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.backbones.clip.files import save_clip_vit
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.hub import load_backbone
from segtune.data.formats import open_dataset
from segtune.data.pairs import Pair
from segtune.data.samples import Subset
from segtune.errors import SegtuneError
from segtune.eval.mask_names import score_mask_names
from segtune.ops.regions.recipes import RegionConfig
from segtune.predict.naming import MASK_PROMPTS
from segtune.prompts import Prompts
from segtune.storage.files import atomic_write
from segtune.systems.base import Words
from segtune.train.loop import train
from segtune.train.outcome import Outcome
from segtune.train.recipe import write_recipe
from segtune.train.run_files import LOG, RECIPE, RunFiles
from segtune.train.step_log import has_diverged
from segtune.trainers.pairs.batches import Augment, Batches
from segtune.trainers.pairs.model import Trainee
from segtune.trainers.pairs.recipe import KIND, PairRecipe, read_recipe
from segtune.trainers.pairs.regions import Crop, PairRegions, labelled_pairs, open_pairs
from segtune.types import Dataset, Resolution, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates

PROMPTS, METRICS = "prompts.safetensors", "metrics.json"
TEXTS_AT_ONCE = 256
"""Texts that are encoded together."""


@dataclass(frozen=True)
class Adapted:
    """What a run leaves.

    Attributes:
        model: folder of the adapted CLIP; None where only prompts were learned.
        prompts: prompt file of the system `ovseg`; None where only the image encoder was learned.
        metrics: what is in `metrics.json`.
    """

    model: Path | None
    prompts: Path | None
    metrics: Mapping[str, Any]


def run(
    recipe: PairRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    stop_after: int | None = None,
) -> Adapted | None:
    """Trains by a recipe and returns where the results are.

    Writes into `out`: `recipe.yaml`, a folder per stage with its log and checkpoint, the model
    folder, `prompts.safetensors` and `metrics.json`.

    Args:
        out: folder of the run.
        resume: go on with an interrupted run in `out`, exactly.
        progress: show bars where the output is a terminal.
        stop_after: leave the last stage after this step, as an interruption would; returns None.

    Raises:
        SegtuneError: `out` holds a run and `resume` is off, or one of other settings.
    """
    if (out / METRICS).exists():
        raise SegtuneError(f"{out} already holds a finished run; choose another --out")
    clip = _load(recipe.model)
    dataset = _dataset(recipe)
    pairs = _pairs(recipe, dataset)
    texts = sorted({pair.text for pair in pairs})
    embeds = _encode(clip, [recipe.text_template.replace("{}", text) for text in texts])
    config = RegionConfig(size=clip.image_size, fill=recipe.fill)
    folder = Path(recipe.pairs).parent if recipe.pairs else None
    regions = PairRegions(
        pairs, config, normalisation=clip.normalisation, folder=folder, dataset=dataset
    )
    rows = {text: row for row, text in enumerate(texts)}
    text_ids = [rows[pair.text] for pair in pairs]
    scored = _Scored(recipe, progress)
    results = {"before": scored(clip)}
    settings = KIND.values(recipe)
    write_recipe(out / RECIPE, settings)
    folders = [
        out / f"{number}-{stage.mode}" for number, stage in enumerate(recipe.stages, start=1)
    ]
    anew = not resume and any(has_diverged(folder / LOG) for folder in folders)
    model: Path | None = None
    prompts: Path | None = None
    for number, stage in enumerate(recipe.stages, start=1):
        trainee = Trainee(
            clip,
            embeds,
            stage,
            seed=recipe.seed,
            targets=recipe.targets,
            precision=recipe.precision,
        )
        batches = Batches(
            regions,
            text_ids,
            size=stage.batch,
            augment=Augment(recipe.scale, recipe.ratio),
            normalisation=clip.normalisation,
            fill_color=recipe.mask_from_fill_color,
            seed=recipe.seed,
        )
        steps = stage.steps or stage.epochs * batches.steps_per_epoch
        identity = settings | {"stage": number, "pairs_used": len(pairs)}
        done = train(
            trainee,
            batches,
            stage.pace(steps, save_every=recipe.save_every),
            files=RunFiles.in_folder(folders[number - 1], identity, resume=resume, anew=anew),
            progress=progress,
            stop_after=stop_after if number == len(recipe.stages) else None,
        )
        if done < steps:
            return None
        clip = trainee.finish()
        if stage.mode != "mpt":
            learned = clip.mask_prompts
            model = save_clip_vit(clip, out / (recipe.name or f"{Path(recipe.model).name}-ft"))
            clip = _load(str(model))  # with the fingerprint of its new weights
            clip.mask_prompts = learned
        if clip.mask_prompts is not None:
            prompts = _prompts(recipe, clip, texts, len(pairs)).save(out / PROMPTS)
        results[f"{number}-{stage.mode}"] = scored(clip)
    metrics = {
        "model": recipe.model,
        "pairs": len(pairs),
        "texts": len(texts),
        "protocol": scored.protocol,
        "scores": results,
    }
    with atomic_write(out / METRICS) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return Adapted(model, prompts, metrics)


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    adapted = run(read_recipe(path, overrides=settings), out=out, resume=resume)
    assert adapted is not None  # it was not asked to stop early
    written = [str(p) for p in (adapted.model, adapted.prompts, out) if p is not None]
    title = f"{path.stem}: names of labelled regions, {adapted.metrics['protocol']}"
    scores = {stage: row for stage, row in adapted.metrics["scores"].items() if row}
    return Outcome(f"wrote {', '.join(written)}", title, scores)


class _Scored:
    """Names the regions of the evaluation data with what is learned so far; nothing without any."""

    def __init__(self, recipe: PairRecipe, progress: bool) -> None:
        self.recipe, self.progress = recipe, progress
        self.protocol: dict[str, Any] = {}
        self._words: Words | None = None
        if recipe.evaluate is None:
            return
        self.dataset = open_dataset(recipe.evaluate, split=recipe.evaluate_split)
        limit = recipe.evaluate_limit or len(self.dataset)
        self.protocol = {
            "data": recipe.evaluate,
            "split": recipe.evaluate_split,
            "images": min(limit, len(self.dataset)),
            "classes": len(self.dataset.vocabulary),
            "templates": recipe.templates,
            "masks": "ground truth",
        }

    def __call__(self, clip: ClipVit) -> dict[str, float]:
        """Returns the headline numbers."""
        recipe = self.recipe
        if recipe.evaluate is None:
            return {}
        if self._words is None:  # stages do not change the text encoder
            templates = read_templates(recipe.templates)
            self._words = Words(embed_vocabulary(clip, self.dataset.vocabulary, templates))
        scores = score_mask_names(
            clip,
            self.dataset,
            self._words,
            mask_prompts=clip.mask_prompts,
            config=RegionConfig(size=clip.image_size, fill=recipe.fill),
            limit=recipe.evaluate_limit,
            progress=self.progress,
        )
        return dict(scores.summary())


def _load(model: str) -> ClipVit:
    clip = load_backbone(model)
    if not isinstance(clip, ClipVit):
        raise SegtuneError(
            f"{model} is a {clip.kind}; pairs adapt a CLIP ViT, such as clip-vit-tiny"
        )
    return clip


def _dataset(recipe: PairRecipe) -> Dataset | None:
    if recipe.data is None:
        return None
    dataset = open_dataset(recipe.data, layout=recipe.layout, split=recipe.split)
    if recipe.pairs is None and recipe.limit is not None:
        return Subset(dataset, range(min(recipe.limit, len(dataset))))
    return dataset


def _pairs(recipe: PairRecipe, dataset: Dataset | None) -> list[Pair] | list[Crop]:
    """Returns the pairs that the recipe learns from.

    Raises:
        SegtuneError: none is left.
    """
    if recipe.pairs is None:
        assert dataset is not None
        found: list[Pair] | list[Crop] = list(labelled_pairs(dataset))
    else:
        found = open_pairs(Path(recipe.pairs))
    if recipe.min_score is not None:
        kept = [p for p in found if not isinstance(p, Pair) or p.score >= recipe.min_score]
        found = cast("list[Pair] | list[Crop]", kept)
    if not found:
        raise SegtuneError(
            f"no pair is left to learn from in {recipe.pairs or recipe.data}; lower min_score, or "
            "give labelled data"
        )
    return found


@torch.no_grad()
def _encode(clip: ClipVit, sentences: Sequence[str]) -> Tensor:
    """Returns the (T, k) unit embeddings of sentences."""
    rows = []
    for start in range(0, len(sentences), TEXTS_AT_ONCE):
        tokens = clip.tokenize(sentences[start : start + TEXTS_AT_ONCE])
        rows.append(F.normalize(clip.encode_text(tokens).float(), dim=-1))
    return torch.cat(rows)


def _prompts(recipe: PairRecipe, clip: ClipVit, texts: Sequence[str], num_pairs: int) -> Prompts:
    """Returns the mask prompts of a CLIP as a prompt file of the system `ovseg`."""
    assert clip.mask_prompts is not None
    tensor = clip.mask_prompts.detach().cpu().clone()
    names = list({text.strip().lower(): text for text in texts if text.strip()}.values())
    return Prompts(
        system="ovseg",
        options={"prompt_depth": len(tensor)},
        model=clip.name,
        fingerprint=clip.fingerprint,
        tensors={MASK_PROMPTS: tensor},
        vocabulary=Vocabulary.of(*names, name="pairs"),
        templates=read_templates(recipe.templates),
        resolution=Resolution(recipe.short_side, None, recipe.short_side),
        training={"data": recipe.pairs or recipe.data, "seed": recipe.seed, "pairs": num_pairs}
        | {"stages": [stage.mode for stage in recipe.stages]},
    )
