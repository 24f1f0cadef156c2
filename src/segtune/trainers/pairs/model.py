"""What is learned on pairs: the image encoder of a CLIP, its mask prompts, or both."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from segtune.backbones.clip.masked import check_prompts, region_embeds
from segtune.backbones.clip.model import ClipVit
from segtune.train.checkpoints import Stateful
from segtune.train.trainable import Trainable
from segtune.trainers.pairs.batches import Batch
from segtune.trainers.pairs.loss import Targets, contrast
from segtune.trainers.pairs.recipe import Stage

MAX_LOGIT_SCALE = math.log(100)
INIT_STD = 0.02
"""Of mask prompts, as released."""


class Trainee(nn.Module, Trainable):
    """The parameters of a stage and the loss of a batch; its state is what the stage learns.

    The text encoder and, in stage "mpt", the image encoder stay frozen and out of the state.

    Args:
        clip: changed in place where the stage learns the image encoder.
        texts: (T, k) unit embeddings of the distinct texts.
        stage: what is learned.
        seed: of fresh mask prompts.

    Attributes:
        logit_scale: learned in every stage, kept in [0, ln 100].
        mask_prompts: (D, N, d); those of the CLIP where they have this depth, else N(0, 0.02). In
            stage "ft" they are not learned: those of the CLIP, or None.
    """

    def __init__(
        self,
        clip: ClipVit,
        texts: Tensor,
        stage: Stage,
        *,
        seed: int,
        targets: Targets = "identity",
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self._clip = (clip,)  # a tuple, so that frozen weights are no part of the state
        self.stage, self.targets, self.precision = stage, targets, precision
        self.register_buffer("texts", texts, persistent=False)
        self.logit_scale = nn.Parameter(clip.model.logit_scale.detach().clone())
        self.mask_prompts = clip.mask_prompts if stage.mode == "ft" else None
        if stage.mode != "ft":
            self.mask_prompts = nn.Parameter(_start(clip, stage.depth, seed))
        if stage.mode != "mpt":
            self.vision = clip.model.vision_model
            self.projection = clip.model.visual_projection
            for part in (self.vision, self.projection):
                part.requires_grad_(True)

    @property
    def clip(self) -> ClipVit:
        """The CLIP, with what was learned so far where that is part of it."""
        return self._clip[0]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the loss of a batch."""
        with torch.no_grad():
            self.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        device = self.logit_scale.device
        text_ids = batch.text_ids.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            masks = None if self.mask_prompts is None else batch.masks.to(device)
            embeds = region_embeds(self.clip, batch.pixels.to(device), masks, self.mask_prompts)
        assert isinstance(self.texts, Tensor)
        loss = contrast(
            embeds,
            self.texts[text_ids],
            self.logit_scale.exp(),
            text_ids=text_ids,
            targets=self.targets,
        )
        return {"contrast": loss, "_logit_scale": self.logit_scale.exp().detach()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW for the image encoder and for the prompts, whichever are learned.

        Vectors, biases and the logit scale are not decayed.
        """
        stage = self.stage
        made: dict[str, torch.optim.Optimizer] = {}
        if stage.mode != "mpt":
            encoder = [*self.vision.parameters(), *self.projection.parameters()]
            decayed = [parameter for parameter in encoder if parameter.ndim >= 2]
            others = [parameter for parameter in encoder if parameter.ndim < 2]
            groups = [
                {"params": decayed, "weight_decay": stage.weight_decay},
                {"params": [*others, self.logit_scale], "weight_decay": 0.0},
            ]
            made["encoder"] = _adamw(groups, stage.lr)
        if isinstance(self.mask_prompts, nn.Parameter):
            learned = [self.mask_prompts] + ([] if made else [self.logit_scale])
            made["prompts"] = _adamw([{"params": learned, "weight_decay": 0.0}], stage.prompt_lr)
        return made

    def state(self) -> dict[str, Stateful]:
        """Returns what the stage learns."""
        return {"model": self}

    def finish(self) -> ClipVit:
        """Returns the CLIP with what was learned, frozen again.

        The logit scale goes with a new image encoder; that of mask prompts alone is dropped.
        """
        if self.stage.mode != "mpt":
            with torch.no_grad():
                scale = self.logit_scale.clamp(0, MAX_LOGIT_SCALE)
                self.clip.model.logit_scale.copy_(scale)
            self.clip.model.requires_grad_(False)
        if self.mask_prompts is not None:
            self.clip.mask_prompts = self.mask_prompts.detach()
        return self.clip


def _start(clip: ClipVit, depth: int, seed: int) -> Tensor:
    """Returns the (D, N, d) mask prompts that a stage starts from."""
    given = clip.mask_prompts
    if given is not None and len(given) == depth:
        return given.detach().clone()
    patches = (clip.image_size // clip.patch_size) ** 2
    generator = torch.Generator().manual_seed(seed)
    fresh = INIT_STD * torch.randn(depth, patches, clip.width, generator=generator)
    check_prompts(clip, fresh)
    return fresh.to(clip.device)


def _adamw(groups: Iterable[dict], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(list(groups), lr=lr, betas=(0.9, 0.98), eps=1e-6)
