"""Trains a small SEEM and writes it as a model folder in the official key layout.

    segtune train recipes/zoo/seem.yaml --out runs/seem [--resume]

The text tower and its tokenizer are those of the bundled CLIP and stay as they are; everything else
starts from nothing. Three losses: the official set loss over all heads; the words against single
pixels of the mask features, which teaches the image side long before masks are found; and the masks
of clicks, where the query that answers best learns the mask and to be the one that is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.encoders.focalnet import FocalNetConfig
from segtune.backbones.hub import load_backbone
from segtune.backbones.reading.key_tables import load_strictly
from segtune.backbones.seem.config import SeemConfig
from segtune.backbones.seem.files import save_seem
from segtune.backbones.seem.model import Seem
from segtune.backbones.seem.text import SeemTextConfig
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.systems.base import Words
from segtune.train.outcome import Outcome
from segtune.trainers.bundled.scenes.batch import Batch
from segtune.trainers.bundled.scenes.dense_words import pixel_loss, seen_classes
from segtune.trainers.bundled.scenes.run import Trainee, by_kind, export_scenes, run_scenes
from segtune.trainers.bundled.scenes.seem_prompts import prompt_losses
from segtune.trainers.bundled.scenes.seem_recipe import KIND, SeemRecipe
from segtune.types import Dataset, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.templates import read_templates


class SeemTrainee(Trainee):
    """A SEEM with the layer that compares single pixels with words, in training only.

    Args:
        seem: fresh but for its text tower.
        words: the training words; fixed, as the text tower is.
    """

    text: Tensor  # (K + 1, k), background last
    recipe: SeemRecipe
    tables = ("query_content", "query_position", "level_embeds")  # one row per query or level

    def __init__(self, seem: Seem, words: Words, recipe: SeemRecipe) -> None:
        super().__init__()
        self.seem, self.recipe = seem, recipe
        self.pixel_head = nn.Linear(recipe.hidden, seem.joint_width)
        assert words.background is not None
        text = torch.cat([words.embeds, words.background[None]])
        self.register_buffer("text", text, persistent=False)
        for part in (seem.image_encoder, seem.pixel_decoder, seem.decoder, seem.points):
            assert part is not None  # a fresh SEEM takes points
            part.requires_grad_(True)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch."""
        seem, recipe = self.seem, self.recipe
        batch = batch.to(seem.device)
        multi_scale, mask_features = seem.features(batch.pixels)
        memory = seem.decoder.prepare(multi_scale, mask_features)
        queries = seem.decoder.query_content, seem.decoder.query_position
        output = seem.decoder(memory, *queries, text=self.text, deep_supervision=True)
        heads = [
            SetPrediction(head.class_logits, head.mask_logits) for head in (*output.aux, output)
        ]
        terms = set_loss(heads, batch.targets, SetLossConfig(dense=True))
        losses = by_kind(terms)
        if recipe.dense_weight:
            losses["pixel"] = recipe.dense_weight * pixel_loss(
                mask_features,
                batch.labels,
                self.pixel_head,
                self.text[:-1],
                pixels_per_image=recipe.pixels_per_image,
            )
        if recipe.prompt_weight:
            found = prompt_losses(seem, memory, batch.prompts)
            losses |= {name: recipe.prompt_weight * value for name, value in found.items()}
        losses["_logit_scale"] = seem.decoder.logit_scale.exp().detach()
        return losses

    def export(self, folder: Path) -> Path:
        """Writes the model into a folder, in half precision, and returns it."""
        return save_seem(self.seem, folder, half=True)


def run(recipe: SeemRecipe, **how: Any) -> Path:
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


def make_trainee(recipe: SeemRecipe, dataset: Dataset) -> tuple[SeemTrainee, list[int]]:
    """Returns a fresh model and the ids of the classes that it learns: all but the unseen ones."""
    torch.manual_seed(recipe.seed)
    clip = cast(ClipVit, load_backbone(recipe.text, device="cpu"))
    seem = build_seem(recipe, clip)
    if recipe.init is not None:
        start = load_backbone(recipe.init, device="cpu")
        load_strictly(seem, cast(Seem, start).state_dict(), recipe.init)
    class_ids, vocabulary = seen_classes(dataset.vocabulary)
    templates = read_templates(recipe.templates)
    embeds = embed_vocabulary(seem, vocabulary, templates, use_cache=False)
    nothing = Vocabulary.of(recipe.background)
    background = embed_vocabulary(seem, nothing, templates, use_cache=False)[0]
    return SeemTrainee(seem, Words(embeds, background=background), recipe), class_ids


def build_seem(recipe: SeemRecipe, clip: ClipVit) -> Seem:
    """Returns a SEEM with fresh weights and the text tower of a CLIP."""
    text: Any = clip.model.config.text_config
    config = SeemConfig(
        image_encoder=FocalNetConfig(
            embed_dim=recipe.embed_dim,
            depths=recipe.depths,
            focal_levels=recipe.focal_levels,
            focal_windows=(3,) * len(recipe.depths),
            layer_scale=1.0,
        ),
        hidden=recipe.hidden,
        mask_dim=recipe.hidden,
        pixel_feedforward=recipe.feedforward,
        groups=recipe.groups,
        num_slots=1,
        num_heads=recipe.num_heads,
        feedforward=recipe.feedforward,
        pixel_layers=recipe.pixel_layers,
        decoder_layers=recipe.decoder_layers,
        num_queries=recipe.num_queries,
        text=SeemTextConfig(
            width=text.hidden_size,
            num_layers=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            feedforward=text.intermediate_size,
            context_length=text.max_position_embeddings,
            vocab_size=text.vocab_size,
            joint_width=clip.joint_width,
        ),
    )
    seem = Seem(config, tokenizer=clip.tokenizer, name=recipe.name, dense_size=recipe.dense_size)
    seem.text.transformer.load_state_dict(clip.model.text_model.state_dict())
    with torch.no_grad():
        seem.text.projection.copy_(clip.model.text_projection.weight.T)
        seem.decoder.query_content.mul_(0.5)
        seem.decoder.query_position.mul_(0.5)
        seem.decoder.level_embeds.mul_(0.1)
    return seem
