"""CLIP with a ConvNeXt image tower, frozen: dense features, regions by mask pooling, and words.

FC-CLIP (Yu et al., NeurIPS 2023) showed that such a CLIP keeps its meaning at sizes far beyond that
of its training: run the trunk at any size, average the last map inside a mask, and let the head
project the mean as it would that of a whole image.

Shape letters: B images, R regions, C channels of the last map, k joint width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import fingerprint_of
from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.backbones.clip_convnext.text import ClipText
from segtune.backbones.encoders.convnext import NORM_EPSILON, ConvNext
from segtune.backbones.reading.tokens import token_ids
from segtune.ops.masks.pooling import masks_at, pool_inside, small_ones_kept
from segtune.ops.normalisation import CLIP, Normalisation

LARGEST_TEMPERATURE = 100.0


class ClipConvNext(nn.Module):
    """A frozen CLIP whose image tower is a ConvNeXt.

    Args:
        config: sizes of both towers.
        tokenizer: of transformers; None reads no words.
        name: what tables and files call it.
        normalisation: of the images that it was trained with.
        dense_size: shorter side in pixels at which it is best used for dense prediction.

    Example:
        >>> import torch
        >>> from segtune.backbones.clip_convnext.random import random_clip_convnext
        >>> clip = random_clip_convnext()
        >>> *_, last = clip.dense(torch.zeros(1, 3, 64, 96))
        >>> last.shape, clip.project(last.mean((2, 3))).shape
        (torch.Size([1, 32, 2, 3]), torch.Size([1, 16]))
    """

    kind: ClassVar[str] = "clip-convnext"
    uses_windows: ClassVar[bool] = False
    background_word: ClassVar[str | None] = None

    def __init__(
        self,
        config: ClipConvNextConfig,
        tokenizer: Any | None = None,
        *,
        name: str = "clip-convnext",
        normalisation: Normalisation = CLIP,
        dense_size: int = 800,
    ) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.name, self.normalisation, self.dense_size = name, normalisation, dense_size
        self.image = ConvNext(config.image)
        self.head = RegionHead(config.image.channels[-1], config.head_hidden, config.joint_width)
        self.text = ClipText(config.text, config.joint_width)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ClipConvNext:
        """Stays in eval mode while the weights are frozen; `requires_grad_` comes first."""
        return super().train(mode and self.logit_scale.requires_grad)

    @property
    def patch_size(self) -> int:
        """Both sides of an input are multiples of it."""
        return self.image.stride

    @property
    def joint_width(self) -> int:
        """k, of the space that words share with regions."""
        return self.config.joint_width

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.logit_scale.device

    @property
    def temperature(self) -> float:
        """The factor between cosine similarities and logits, at most 100."""
        return min(float(self.logit_scale.exp()), LARGEST_TEMPERATURE)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.state_dict())

    # -- image tower ------------------------------------------------------------------------

    def dense(self, pixels: Tensor) -> list[Tensor]:
        """Returns the raw maps of all stages, fine to coarse, at strides 4, 8, 16 and 32.

        Args:
            pixels: (B, 3, H, W), normalised; H and W multiples of `patch_size`, any size.
        """
        return self.image(pixels.to(self.logit_scale.dtype))

    def project(self, pooled: Tensor) -> Tensor:
        """Returns embeddings (..., k), not normalised, of means of the last map (..., C)."""
        return self.head(pooled)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Returns (B, k) embeddings of whole images, not normalised; `pixels` as in `dense`."""
        return self.project(self.dense(pixels)[-1].mean((2, 3)))

    @torch.no_grad()
    def region_embeds(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Returns (N, k), unit length, of regions: FC-CLIP's mask pooling, then the head.

        A mask that is smaller than any place of the last map takes the place that it is in.

        Args:
            pixels: (3, H, W), 0..255 RGB, any size; padded with the mean.
            masks: (N, H, W) bool.
        """
        height, width = pixels.shape[-2:]
        padding = (0, -width % self.patch_size, 0, -height % self.patch_size)
        image = F.pad(self.normalisation.apply(pixels[None].to(self.device).float()), padding)
        last = self.dense(image)[-1]
        size = (last.shape[-2], last.shape[-1])
        signed = F.pad(2 * masks.to(self.device).float() - 1, padding, value=-1.0)[None]
        inside = masks_at(small_ones_kept(signed, size), size)
        return F.normalize(self.project(pool_inside(last, inside)[0]), dim=-1)

    # -- text tower -------------------------------------------------------------------------

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns token ids (M, longest), int64, padded after the end-of-text token.

        Raises:
            WeightsError: the model was loaded without a tokenizer.
            SegtuneError: a sentence does not fit the context of the text tower.
        """
        context = self.config.text.context_length
        return token_ids(self.tokenizer, sentences, context=context, name=self.name)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (M, k) text embeddings, not normalised, of (M, T) int64 token ids."""
        return self.text(tokens.to(self.device))


class RegionHead(nn.Module):
    """LayerNorm and projection of the mean of a map: of an image, or of a region in it."""

    def __init__(self, channels: int, hidden: int | None, joint_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.expand = None if hidden is None else nn.Linear(channels, hidden)
        self.project = nn.Linear(hidden or channels, joint_width, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """(..., C) to (..., k)."""
        x = self.norm(pooled.to(self.norm.weight.dtype))
        if self.expand is not None:
            x = F.gelu(self.expand(x))
        return self.project(x)
