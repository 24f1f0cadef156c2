"""What is learned: a MaskFormer against fixed words; its losses, the groups of its parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from segtune.backbones.encoders.resnet import ResNet
from segtune.backbones.maskformer.model import MaskFormer
from segtune.ops.mask_targets import targets_from_semantic
from segtune.ops.set_loss import MASKFORMER, SetPrediction, set_loss
from segtune.train.checkpoints import Stateful
from segtune.train.trainable import Trainable
from segtune.trainers.maskformer.batches import Batch
from segtune.trainers.maskformer.recipe import ProposalRecipe

NORMS = (nn.LayerNorm, nn.GroupNorm)
TABLES = ("query_position", "bias_table")
"""Embeddings of queries, and of offsets between two tokens of a window."""
ENCODER = "image_encoder."


@dataclass(frozen=True)
class Part:
    """A part of a batch, with what its means must be multiplied by to add up to those of the batch.

    Attributes:
        batch: the views.
        class_share: weight of its queries in the cross-entropy, of all queries of the batch.
        mask_share: its masks among all masks of the batch.
    """

    batch: Batch
    class_share: float = 1.0
    mask_share: float = 1.0


class Trainee(nn.Module, Trainable):
    """A MaskFormer in training.

    Args:
        model: changed in place: all of it is learned but the first parts of a ResNet
            (`ProposalRecipe.freeze_at`), and it is in training mode.
        words: (K, k) the words to match, unit length; fixed and no part of the state.
    """

    words: Tensor

    def __init__(self, model: MaskFormer, words: Tensor, recipe: ProposalRecipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.loss = replace(MASKFORMER, dense=recipe.dense_loss)
        self.register_buffer("words", words, persistent=False)
        model.requires_grad_(True)
        if isinstance(model.image_encoder, ResNet):
            for stage in first_parts(model.image_encoder, recipe.freeze_at):
                stage.requires_grad_(False)
        self.train()

    def parts(self, batch: Batch) -> list[Part]:
        """Returns the `accumulate` parts of a batch.

        The losses are means over queries, weighted by what they are matched with, and over masks.
        How many of each there are follows from the labels alone, so the parts can be weighted
        before anything is predicted, and their losses add up to that of the batch in one piece.
        (The papers train on several devices, with a mean over the queries of each of them.)
        """
        if self.recipe.accumulate == 1:
            return [Part(batch)]
        pieces = batch.split(self.recipe.accumulate)
        counts = [[num_classes(labels) for labels in piece.labels] for piece in pieces]
        weights = [sum(self._query_weight(count) for count in part) for part in counts]
        masks = [sum(part) for part in counts]
        return [
            Part(piece, weight / sum(weights), max(count, 1) / max(sum(masks), 1))
            for piece, weight, count in zip(pieces, weights, masks, strict=True)
        ]

    def _query_weight(self, num_masks: int) -> float:
        """Returns the weight of all queries of an image: 1 where matched, 0.1 elsewhere."""
        queries = self.recipe.num_queries
        matched = min(queries, num_masks)
        return matched + self.loss.no_object_weight * (queries - matched)

    def losses(self, part: Part) -> dict[str, Tensor]:
        """Returns the weighted losses of a part, each the sum over all decoder layers."""
        model, device = self.model, self.words.device
        is_half = self.recipe.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            coarsest, mask_features = model.features(part.batch.pixels.to(device))
            layers = model.decode(coarsest, mask_features, every_layer=True)
        heads = []
        for found in layers:
            assert found.query_embeds is not None
            class_logits = model.class_logits(found.query_embeds.float(), self.words)
            heads.append(SetPrediction(class_logits, found.mask_logits))
        targets = targets_from_semantic(part.batch.labels.to(device))
        terms = set_loss(heads, targets, self.loss)
        shares = {"class": part.class_share, "mask": part.mask_share, "dice": part.mask_share}
        return {
            kind: share * torch.stack([v for k, v in terms.items() if f"_{kind}" in k]).sum()
            for kind, share in shares.items()
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW with the groups of `parameter_groups`."""
        groups = parameter_groups(self.model, self.recipe)
        return {"adamw": torch.optim.AdamW(groups, lr=self.recipe.lr)}

    def state(self) -> dict[str, Stateful]:
        """Returns all weights, but for the words."""
        return {"model": self}


def num_classes(labels: Tensor) -> int:
    """Returns how many classes occur in (H, W) labels, negative where unlabelled.

    Example:
        >>> num_classes(torch.tensor([[3, 3], [-1, 0]]))
        2
    """
    return int(labels[labels >= 0].bincount().count_nonzero())


def first_parts(encoder: ResNet, count: int) -> list[nn.Module]:
    """Returns the first `count` parts of a ResNet: the stem, then its stages."""
    return [encoder.stem, *encoder.stages][:count]


def parameter_groups(model: MaskFormer, recipe: ProposalRecipe) -> list[dict[str, Any]]:
    """Returns the learned parameters by rate and weight decay; empty groups are left out.

    The image encoder learns at `encoder_lr` times the rate. Norm layers, query embeddings and
    tables of relative positions are not decayed. Biases are, and so is the no-object vector, which
    is no embedding layer in the released models [R].
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for place, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                in_encoder = f"{place}.".startswith(ENCODER)
                is_decayed = not isinstance(module, NORMS) and name not in TABLES
                groups.setdefault((in_encoder, is_decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.lr * (recipe.encoder_lr if in_encoder else 1.0),
            "weight_decay": recipe.weight_decay if is_decayed else 0.0,
        }
        for (in_encoder, is_decayed), parameters in groups.items()
    ]
