"""RPN and its peers: a frozen CLIP ViT that segments with relationship prompts and a small head.

"Relationship Prompt Learning is Enough for Open-Vocabulary Semantic Segmentation", Li et al.,
NeurIPS 2024. The same model with other choices of `RPNConfig` is ZegCLIP, VPT, LoRA, or the linear
projection module alone. Reading order: `forward` here, then `encoder`, `relationship`, `heads`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.clip.model import ClipVit
from segtune.ops.labels import PSEUDO, fill_pseudo_labels
from segtune.ops.normalisation import IMAGENET_BY_UNIT
from segtune.systems.base import System, Targets, Words
from segtune.systems.rpn.config import RPNConfig
from segtune.systems.rpn.encoder import Encoded, PromptedEncoder, as_picture
from segtune.systems.rpn.loss import sigmoid_loss, softmax_loss
from segtune.systems.rpn.prompts import LearnedPrompts
from segtune.types import DecidePixels, Features, Geometry, MaskPrediction


class PromptedClip(System):
    """A frozen CLIP with learned prompts that scores every patch against every word.

    Args:
        backbone: the frozen CLIP.
        config: which prompts and which head; see `segtune.systems.rpn.config`.
        name: registry name of the preset, for tables and files.
        seed: of the initial prompts.

    Example:
        >>> import torch
        >>> from segtune.backbones.clip.random import random_clip_vit
        >>> from segtune.systems.base import Words
        >>> from segtune.systems.rpn.config import PAPER
        >>> from segtune.systems.rpn.model import PromptedClip
        >>> system = PromptedClip(random_clip_vit(), PAPER)
        >>> features = system.encode(torch.zeros(1, 3, 32, 40))
        >>> system(features, Words(torch.randn(7, 16))).shape
        torch.Size([1, 7, 4, 5])
    """

    backbone: ClipVit
    prompts: LearnedPrompts
    config: RPNConfig

    def __init__(
        self, backbone: ClipVit, config: RPNConfig, *, name: str = "rpn", seed: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.backbone = backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.prompts = LearnedPrompts(config, backbone).to(backbone.device)
        self.encoder = PromptedEncoder(backbone, config, self.prompts)
        self.train(False)

    @property
    def stride(self) -> int:
        """The patch size."""
        return self.backbone.patch_size

    def encode(self, pixels: Tensor) -> Features:
        """Returns the tokens that enter the first prompted layer, of (B, 3, H, W) pixels 0..255."""
        seen_by = self.backbone.normalisation
        if self.config.imagenet_normalization:
            seen_by = IMAGENET_BY_UNIT
        return self.encode_normalised(seen_by.apply(pixels.float()))

    def encode_normalised(self, pixels: Tensor) -> Features:
        """As `encode`, for pixels that are normalised already."""
        grid = self.backbone.grid(*pixels.shape[-2:])
        return Features({"tokens": self.encoder.encode(pixels)}, grid)

    def forward(self, features: Features, words: Words) -> Tensor:
        """Returns dense logits (B, K, h, w) on the patch grid, negatives included."""
        return self._logits(features, words)[0]

    def _logits(self, features: Features, words: Words) -> tuple[Tensor, Encoded]:
        tokens = features.tensors["tokens"]
        text = words.embeds.to(tokens.dtype)
        encoded = self.encoder(tokens, features.grid, text)
        logits = self.prompts.head(encoded.cls, encoded.patches, text)  # (B, N, K)
        return as_picture(logits, features.grid), encoded

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns dense predictions, one per image."""
        logits, rule = self(features, words), DecidePixels(self.config.loss)
        return [
            MaskPrediction(geometry, pixel_logits=picture, decision=rule)
            for picture, geometry in zip(logits, geometries, strict=True)
        ]

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns the losses of a batch; `PSEUDO` pixels are labelled by the current scores."""
        logits, encoded = self._logits(features, words)
        stride = self.config.loss_stride
        labels = targets.semantic[:, stride // 2 :: stride, stride // 2 :: stride]
        if targets.pseudo_ids and bool((labels == PSEUDO).any()):
            with torch.no_grad():
                scores = F.interpolate(
                    logits, labels.shape[-2:], mode="bilinear", align_corners=False
                )
                labels = fill_pseudo_labels(labels, scores, targets.pseudo_ids)
        if self.config.loss == "softmax":
            losses = softmax_loss(logits, labels)
        else:
            losses = sigmoid_loss(
                logits,
                labels,
                focal_weight=self.config.focal_weight,
                dice_weight=self.config.dice_weight,
                mask_ignored=self.config.mask_ignored,
            )
        if self.config.m2oe_balance and self.prompts.training:
            losses["loss_balance"] = encoded.balance
        return losses

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, object]]:
        """Returns one group for the pixel knowledge h and one for the rest.

        The released code trains h at a tenth of the rate of everything else.
        """
        knowledge = [
            p for p in (self.prompts.knowledge, self.prompts.knowledge_bias) if p is not None
        ]
        ids = {id(p) for p in knowledge}
        rest = [p for p in self.prompts.parameters() if id(p) not in ids]
        groups = [{"params": rest, "lr": lr, "weight_decay": weight_decay}]
        if knowledge:
            rate = lr * self.config.h_lr_factor
            groups.append({"params": knowledge, "lr": rate, "weight_decay": weight_decay})
        return groups
