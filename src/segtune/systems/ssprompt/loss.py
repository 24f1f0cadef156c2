"""What SSPrompt minimises: cross-entropy on pixels, or on matched classes and masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.semantic_loss import semantic_loss
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.systems.base import Targets
from segtune.systems.ssprompt.config import SSPromptConfig


def losses(
    heads: list[tuple[Tensor, Tensor]], targets: Targets, config: SSPromptConfig
) -> dict[str, Tensor]:
    """Returns named losses; their sum is minimised (equation 9).

    Args:
        heads: class logits (B, Q, K + 1) and mask logits (B, Q, h, w) of every head that is
            supervised, the last one being the answer.
        targets: label maps for the semantic task, masks for the others.
    """
    if config.task == "semantic":
        names = [*(f"loss_ce_{i}" for i in range(len(heads) - 1)), "loss_ce"]
        # A mean, because the rates suit one head: plain gradient descent on the sum diverges.
        return {
            name: semantic_loss(
                *head,
                targets.semantic,
                form=config.semantic_loss,
                class_balance=config.class_balance,
            )
            / len(heads)
            for name, head in zip(names, heads, strict=True)
        }
    require_masks(targets.masks, config)
    # The paper names classes and binary masks; dice then is part of neither cost nor loss.
    settings = SetLossConfig(dense=True, dice_weight=5.0 if config.dice else 0.0)
    # Large masks are compared at drawn points; the loop seeds torch anew in every step.
    seed = int(torch.randint(2**62, ()))
    generator = torch.Generator().manual_seed(seed)
    return set_loss(
        [SetPrediction(*head) for head in heads], targets.masks, settings, generator=generator
    )


def require_masks(masks: Sequence[MaskTargets], config: SSPromptConfig) -> None:
    """Raises SegtuneError where there is nothing to match masks with."""
    if not masks:
        raise SegtuneError(
            f"task={config.task} learns from instance masks but the data has none; use "
            "task=semantic, or data with instances"
        )
