"""Trains a small MaskFormer against the words of a CLIP and writes it as a model folder.

    segtune train recipes/zoo/maskformer.yaml --out runs/mf [--resume]

The words are those of the bundled CLIP and stay as they are. The losses: the official one over the
last and all earlier decoder layers; the words against single pixels of the mask features; and, in
the second part of the training, the words against single cells of the coarsest map, from which the
queries have to read them. Classes tagged unseen are learned by none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.hub import load_backbone
from segtune.backbones.maskformer.files import load_maskformer, save_maskformer
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from segtune.backbones.reading.key_tables import load_strictly
from segtune.ops.set_loss import MASKFORMER, SetPrediction, set_loss
from segtune.train.outcome import Outcome
from segtune.trainers.bundled.scenes.batch import Batch
from segtune.trainers.bundled.scenes.dense_words import pixel_loss, seen_classes
from segtune.trainers.bundled.scenes.maskformer_recipe import KIND, MaskFormerRecipe
from segtune.trainers.bundled.scenes.run import Trainee, by_kind, export_scenes, run_scenes
from segtune.types import Dataset
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates

LOSS = replace(MASKFORMER, dense=True)
"""The official loss at a quarter of the input, where small models are four times as fast."""


class MaskFormerTrainee(Trainee):
    """A MaskFormer with the layers that compare pixels and cells with words, in training only.

    Args:
        model: fresh.
        words: (K, k) the training words, unit length; fixed.
    """

    words: Tensor
    recipe: MaskFormerRecipe
    tables = ("query_position", "bias_table")  # one row per query, or per offset in a window

    def __init__(self, model: MaskFormer, words: Tensor, recipe: MaskFormerRecipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.pixel_head = nn.Linear(model.config.mask_dim, model.joint_width)
        if recipe.coarse_weight:
            self.cell_head = nn.Linear(model.config.hidden, model.joint_width)
        self.register_buffer("words", words, persistent=False)
        model.requires_grad_(True)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch."""
        model, recipe = self.model, self.recipe
        batch = batch.to(model.device)
        coarsest, mask_features = model.features(batch.pixels)
        heads = []
        for found in model.decode(coarsest, mask_features, every_layer=True):
            assert found.query_embeds is not None
            class_logits = model.class_logits(found.query_embeds, self.words)
            heads.append(SetPrediction(class_logits, found.mask_logits))
        terms = set_loss(heads, batch.targets, LOSS)
        losses = by_kind(terms)
        if recipe.dense_weight:
            losses["pixel"] = recipe.dense_weight * pixel_loss(
                mask_features,
                batch.labels,
                self.pixel_head,
                self.words,
                pixels_per_image=recipe.pixels_per_image,
            )
        if recipe.coarse_weight:
            losses["cell"] = recipe.coarse_weight * pixel_loss(
                model.query_decoder.input(coarsest),
                batch.labels,
                self.cell_head,
                self.words,
                pixels_per_image=recipe.cells_per_image,
            )
        return losses

    def export(self, folder: Path) -> Path:
        """Writes the model into a folder, in half precision, and returns it."""
        return save_maskformer(self.model, folder, half=True)


def run(recipe: MaskFormerRecipe, **how: Any) -> Path:
    """Trains by a recipe and returns the model folder; `how` as in `run_scenes`."""
    return run_scenes(KIND, recipe, make_trainee, **how)


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    return Outcome(f"wrote {run(KIND.read(path, overrides=settings), out=out, resume=resume)}")


def export_run(out: Path, folder: Path) -> Path:
    """Exports the weights in the last checkpoint of a run, which may still be going on."""
    return export_scenes(KIND, make_trainee, out, folder)


def make_trainee(recipe: MaskFormerRecipe, dataset: Dataset) -> tuple[MaskFormerTrainee, list[int]]:
    """Returns a fresh model and the ids of the classes that it learns: all but the unseen ones."""
    torch.manual_seed(recipe.seed)
    clip = cast(ClipVit, load_backbone(recipe.text, device="cpu"))
    model = build_maskformer(recipe, clip.joint_width)
    if recipe.init is not None:
        load_strictly(model, load_maskformer(recipe.init).state_dict(), recipe.init)
    class_ids, vocabulary = seen_classes(dataset.vocabulary)
    words = embed_vocabulary(clip, vocabulary, read_templates(recipe.templates), use_cache=False)
    return MaskFormerTrainee(model, words, recipe), class_ids


def build_maskformer(recipe: MaskFormerRecipe, joint_width: int) -> MaskFormer:
    """Returns a MaskFormer with fresh weights."""
    config = MaskFormerConfig(
        image_encoder=SwinConfig(
            recipe.embed_dim, recipe.depths, recipe.num_heads, window=recipe.window
        ),
        fpn_width=recipe.fpn_width,
        mask_dim=recipe.mask_dim,
        hidden=recipe.hidden,
        num_heads=recipe.decoder_heads,
        feedforward=recipe.feedforward,
        num_layers=recipe.decoder_layers,
        num_queries=recipe.num_queries,
        joint_width=joint_width,
        class_hidden=recipe.class_hidden,
        groups=recipe.groups,
    )
    return MaskFormer(config, name=recipe.name, dense_size=recipe.dense_size)
