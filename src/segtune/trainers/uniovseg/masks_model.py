"""What stage 1 learns: pixel decoder, prompt encoder and mask decoder; the CLIP is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtune.backbones.decoders.layers import ChannelNorm
from segtune.backbones.uniovseg.mask_decoder import MaskAnswers
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder
from segtune.backbones.uniovseg.seen import Seen
from segtune.ops.boxes import boxes_from_masks
from segtune.systems.uniovseg.loss import MaskLosses, PointSource, box_dice, pair_losses
from segtune.systems.uniovseg.matching import at_an_eighth, match_points
from segtune.train.checkpoints import Stateful
from segtune.train.trainable import Trainable
from segtune.trainers.uniovseg.masks_batches import MaskBatch
from segtune.trainers.uniovseg.masks_recipe import MasksRecipe

NOT_DECAYED = (nn.LayerNorm, nn.GroupNorm, ChannelNorm, PromptEncoder)
LEVELS = "level_embeds"
"""Name of the embeddings of levels in both decoders."""


class MasksTrainee(nn.Module, Trainable):
    """A Uni-OVSeg whose decoders are in training.

    Args:
        model: changed in place: all of it is learned but the CLIP.
        recipe: of the run.
    """

    def __init__(self, model: UniOvseg, recipe: MasksRecipe) -> None:
        super().__init__()
        self.model, self.recipe, self.config = model, recipe, recipe.losses()
        model.requires_grad_(True)
        model.clip.requires_grad_(False)
        self.learned = nn.ModuleDict(
            {"pixel_decoder": model.pixel_decoder, "prompts": model.prompts, "masks": model.masks}
        )
        self.train()

    def losses(self, batch: MaskBatch) -> dict[str, Tensor]:
        """Returns the weighted losses of points and of boxes, each the sum over all layers."""
        device = self.model.device
        draws = PointSource(self.config, torch.Generator(device).manual_seed(batch.seed))
        masks = [each.to(device) for each in batch.masks]
        is_half = self.recipe.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            seen = self.model.see(batch.pixels.to(device))
        return {
            **self._named("point", *self._points(batch, seen, masks, draws)),
            **self._named("box", *self._boxes(batch, seen, masks, draws)),
        }

    def _named(self, kind: str, layers: Sequence[MaskLosses], pairs: int) -> dict[str, Tensor]:
        """Returns the sums over layers by name, with the number of pairs for the log."""
        sums = [torch.stack(each).sum() for each in zip(*layers, strict=True)]
        config = self.config
        weights = (config.mask_weight, config.dice_weight, config.iou_weight)
        names = (f"{kind}_mask", f"{kind}_dice", f"{kind}_iou")
        found = {n: w * v for n, w, v in zip(names, weights, sums, strict=True)}
        return found | {f"_{kind}_pairs": sums[0].new_tensor(float(pairs))}

    def _points(
        self, batch: MaskBatch, seen: Seen, masks: Sequence[Tensor], draws: PointSource
    ) -> tuple[list[MaskLosses], int]:
        """Returns the losses of every layer; pairs are found in the last one and kept for all."""
        points = batch.points_px.to(self.model.device)
        prompts = self.model.points(points, seen)
        layers = self.model.masks(prompts, seen.memory, every_layer=True)
        with torch.no_grad():
            small = at_an_eighth(layers[-1].logits(seen.mask_features))
            found = [
                match_points(
                    small[image].float(),
                    masks[image],
                    points[image],
                    mask_weight=self.config.mask_weight,
                    dice_weight=self.config.dice_weight,
                    matching=self.config.matching,
                )
                if len(masks[image])
                else None
                for image in range(len(masks))
            ]
        rows, targets, dice = [], [], []
        for image, match in enumerate(found):
            if match is not None:
                rows.append((image, match.slot_ids))
                targets.append(masks[image][match.target_ids])
                dice.append(match.dice)
        return self._every_layer(layers, seen, rows, targets, dice, draws)

    def _boxes(
        self, batch: MaskBatch, seen: Seen, masks: Sequence[Tensor], draws: PointSource
    ) -> tuple[list[MaskLosses], int]:
        """Returns the losses of every layer; a box answers for the mask that it is around."""
        device = self.model.device
        ids = batch.box_ids.to(device)
        boxes = torch.zeros(*ids.shape, 4, device=device)
        rows, targets = [], []
        for image, own in enumerate(masks):
            if len(own):
                boxes[image] = boxes_from_masks(own).to(boxes)[ids[image]]
                rows.append((image, torch.arange(ids.shape[1], device=device)))
                targets.append(own[ids[image]])
        layers = self.model.masks(self.model.boxes(boxes, seen), seen.memory, every_layer=True)
        return self._every_layer(layers, seen, rows, targets, None, draws)

    def _every_layer(
        self,
        layers: Sequence[MaskAnswers],
        seen: Seen,
        rows: Sequence[tuple[int, Tensor]],
        targets: Sequence[Tensor],
        dice: Sequence[Tensor] | None,
        draws: PointSource,
    ) -> tuple[list[MaskLosses], int]:
        """Returns the losses of pairs in every layer, and the number of pairs.

        Args:
            rows: image, and its predictions (M,) among all prompts and their masks.
            targets: (M, S, S) bool, the mask that each of them answers for.
            dice: (M,), what the qualities should be; None computes it anew in every layer.
        """
        pairs = sum(len(ids) for _, ids in rows)
        if not pairs:
            nothing = layers[-1].ious.sum() * 0
            return [MaskLosses(nothing, nothing, nothing)], 0
        wanted, found = torch.cat(list(targets)), []
        for answers in layers:
            logits = torch.cat(
                [answers.chosen(seen.mask_features, image, ids) for image, ids in rows]
            ).float()
            ious = torch.cat([answers.ious[image].flatten()[ids] for image, ids in rows])
            quality = box_dice(logits, wanted) if dice is None else torch.cat(list(dice))
            points = draws(logits.detach())
            found.append(
                pair_losses(logits, ious, wanted, quality, points_norm=points, num_pairs=pairs)
            )
        return found, pairs

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW; norms and embeddings are not decayed."""
        groups = parameter_groups(self.learned, self.recipe.weight_decay)
        return {"adamw": torch.optim.AdamW(groups, lr=self.recipe.lr)}

    def parameters(self, recurse: bool = True) -> Any:
        """Returns what is learned."""
        return self.learned.parameters(recurse)

    def state(self) -> dict[str, Stateful]:
        """Returns all weights but those of the CLIP."""
        return {"model": self.learned}


def parameter_groups(learned: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Returns the parameters with and without weight decay."""
    groups: dict[float, list[nn.Parameter]] = {weight_decay: [], 0.0: []}
    for module in learned.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_decayed = not isinstance(module, NOT_DECAYED) and name != LEVELS
            groups[weight_decay if is_decayed else 0.0].append(parameter)
    return [{"params": each, "weight_decay": decay} for decay, each in groups.items() if each]
