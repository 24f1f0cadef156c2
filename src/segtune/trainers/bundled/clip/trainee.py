"""The bundled CLIP in training: its losses, optimisers and state.

The loss is CLIP's, on three kinds of rows: crops, patches of scenes by the value path, and whole
scenes. Crops and patches are told from the captions of all seen things and stuff, and from captions
that name one or two attributes; a scene has the caption of one thing that it shows. Patches against
captions are region-caption training: it makes the model useful as a dense CLIP while it stays an
ordinary CLIPModel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from segtune.train.checkpoints import Stateful
from segtune.train.optimizers import muon_and_adamw
from segtune.train.trainable import Trainable
from segtune.trainers.bundled.clip.batch import Batch, Captions
from segtune.trainers.bundled.clip.loss import contrast
from segtune.trainers.bundled.clip.model import encode_images, encode_texts
from segtune.trainers.bundled.clip.recipe import ClipRecipe

MAX_LOGIT_SCALE = math.log(100.0)


class ClipTrainee(Trainable):
    """A CLIP that learns from crops, patches and scenes.

    Args:
        model: in training mode, on its device.
        tokenizer: of the captions.
        recipe: weights of the losses, rates and precision.
    """

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer, recipe: ClipRecipe) -> None:
        self.model, self.tokenizer, self.recipe = model, tokenizer, recipe

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the weighted losses of a batch."""
        terms, recipe = self.terms(batch), self.recipe
        return {
            "crop": terms["crop"],
            "crop_partial": recipe.partial_weight * terms["crop_partial"],
            "patch": recipe.patch_weight * terms["patch"],
            "patch_partial": recipe.partial_weight * (recipe.patch_weight * terms["patch_partial"]),
            "scene": recipe.scene_weight * terms["scene"],
            "_logit_scale": self.model.logit_scale.exp().detach(),
        }

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the terms of the loss, each a scalar; only the encoders run in bfloat16."""
        model, device = self.model, self.model.device
        is_half = self.recipe.precision == "bf16"
        full = batch.crop_full.texts
        with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            crops, _ = encode_images(model, batch.crops.to(device))
            scenes, patches = encode_images(model, batch.scenes.to(device))
            texts = encode_texts(model, self.tokenizer, full + batch.crop_partial.texts)
        patch_rows = patches.flatten(0, 2)[batch.patch_index.to(device)]  # (P, D)
        full_texts, partial_texts = texts[: len(full)], texts[len(full) :]
        weights = batch.patch_weights
        return {
            "crop": self._contrast(crops, batch.crop_full, full_texts),
            "crop_partial": self._contrast(crops, batch.crop_partial, partial_texts),
            "patch": self._contrast(patch_rows, batch.patch_full, full_texts, weights),
            "patch_partial": self._contrast(
                patch_rows, batch.patch_partial, partial_texts, weights
            ),
            "scene": self._contrast(scenes, batch.scene_full, full_texts),
        }

    def _contrast(
        self, rows: Tensor, captions: Captions, embeds: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        device = rows.device
        index = captions.rows.to(device)
        return contrast(
            rows[index],
            embeds,
            own=captions.own.to(device),
            true=captions.true.to(device),
            logit_scale=self.model.logit_scale.exp(),
            weights=None if weights is None else weights.to(device)[index],
        )

    def parameters(self) -> Iterable[nn.Parameter]:
        """Returns all weights."""
        return self.model.parameters()

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns Muon for the matrices inside the transformer layers and AdamW for the rest."""
        inner: list[nn.Parameter] = []
        outer: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            (inner if ".layers." in name and parameter.ndim == 2 else outer).append(parameter)
        recipe = self.recipe
        return muon_and_adamw(
            inner,
            outer,
            lr=recipe.lr,
            muon_lr=recipe.muon_lr,
            weight_decay=recipe.weight_decay,
            eps=1e-6,
        )

    def state(self) -> dict[str, Stateful]:
        """Returns the model."""
        return {"model": self.model}

    def after_step(self, done: int) -> None:
        """Keeps the logit scale in 1..100."""
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
