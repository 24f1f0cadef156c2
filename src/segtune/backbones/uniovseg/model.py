"""Uni-OVSeg (Wang et al. 2024, arXiv 2402.08960), frozen: from an image and prompts to masks.

A CLIP ConvNeXt, a deformable pixel decoder over its maps, and a decoder of prompts. The text side
is that of the CLIP; how masks get names is in `systems/uniovseg`. No public source states the
stage-2 weights; what is loaded here is the released stage 1.

Shape letters: B images, P prompts, K masks of a prompt, S side of the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from segtune.backbones.base import fingerprint_of
from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.decoders.deformable import DeformablePixelDecoder
from segtune.backbones.decoders.layers import ChannelNorm
from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.uniovseg.canvas import GREY
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.backbones.uniovseg.mask_decoder import MaskAnswers, MaskDecoder, MaskMemory
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder, PromptTokens

CHUNK = 100
"""Prompts that are decoded at a time; changes memory and speed, never the result."""


@dataclass(frozen=True)
class Seen:
    """What the model saw of a batch of images, to be asked any number of prompts.

    Attributes:
        maps: raw maps of the CLIP, fine to coarse.
        levels: maps of the pixel decoder, coarse to fine.
        mask_features: (B, D, H / 4, W / 4).
        memory: what prompts read.
        size: (H, W) of the input.
    """

    maps: tuple[Tensor, ...]
    levels: tuple[Tensor, ...]
    mask_features: Tensor
    memory: MaskMemory
    size: tuple[int, int]


class UniOvseg(nn.Module):
    """A frozen model that answers points and boxes by masks, and proposes masks of everything.

    Args:
        config: sizes.
        clip: both towers; its sizes are those of the config.
        name: of the weights.

    Example:
        >>> import torch
        >>> from segtune.backbones.uniovseg.random import random_uniovseg
        >>> model = random_uniovseg()
        >>> seen = model.see(torch.zeros(1, 3, 64, 64))
        >>> answers = model.answer(model.points(torch.tensor([[[20.0, 30.0]]]), seen), seen)
        >>> answers.logits(seen.mask_features).shape
        torch.Size([1, 1, 4, 16, 16])
    """

    kind: ClassVar[str] = "uniovseg"
    uses_windows: ClassVar[bool] = False
    background_word: ClassVar[str | None] = None
    stride: ClassVar[int] = 32
    padding: ClassVar[tuple[float, float, float]] = (GREY, GREY, GREY)

    def __init__(
        self, config: UniOvsegConfig, clip: ClipConvNext, *, name: str = "uniovseg"
    ) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.clip = clip
        encoding = SinePositions if config.positions == "sine" else FourierPositions
        self.pixel_decoder = DeformablePixelDecoder(
            config.clip.image.channels,
            hidden=config.hidden,
            mask_dim=config.hidden,
            num_layers=config.pixel_layers,
            num_heads=config.num_heads,
            feedforward=config.pixel_feedforward,
            norm=ChannelNorm,
            positions=encoding(config.hidden),
            groups=config.groups,
        )
        self.prompts = PromptEncoder(
            config.hidden,
            encoding(config.hidden),
            num_granularities=config.num_granularities,
        )
        self.masks = MaskDecoder(
            config.hidden,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            num_layers=config.decoder_layers,
            positions=encoding(config.hidden),
            num_granularities=config.num_granularities,
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> UniOvseg:
        """Stays in eval mode while the weights are frozen; `requires_grad_` comes first."""
        super().train(mode and self.prompts.corners.requires_grad)
        self.clip.train(False)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.prompts.corners.device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.state_dict())

    # -- words ------------------------------------------------------------------------------

    @property
    def joint_width(self) -> int:
        """k, of the space that words share with regions."""
        return self.clip.joint_width

    @property
    def dense_size(self) -> int:
        """Side of the canvas in pixels."""
        return self.config.canvas

    @property
    def patch_size(self) -> int:
        """Both sides of an input are multiples of it."""
        return self.clip.patch_size

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns token ids (M, longest), int64; see `ClipConvNext.tokenize`."""
        return self.clip.tokenize(sentences)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (M, k) text embeddings, not normalised, of (M, T) int64 token ids."""
        return self.clip.encode_text(tokens)

    # -- images and prompts -----------------------------------------------------------------

    def see(self, pixels: Tensor) -> Seen:
        """Returns what prompts on these images are answered from.

        Args:
            pixels: (B, 3, H, W) RGB, 0..255; sides are multiples of 32, grey where there is no
                picture.
        """
        with torch.no_grad():
            maps = self.clip.dense(self.clip.normalisation.apply(pixels))
        levels, mask_features = self.pixel_decoder(maps)
        memory = self.masks.remember(levels, mask_features)
        size = (pixels.shape[-2], pixels.shape[-1])
        return Seen(tuple(maps), tuple(levels), mask_features, memory, size)

    def points(self, points_px: Tensor, seen: Seen) -> PromptTokens:
        """Returns prompts for points (B, P, 2), (x, y) in pixels of the input."""
        return self.prompts.points(points_px, seen.mask_features, seen.size)

    def clicks(self, points_px: Tensor, is_positive: Tensor, seen: Seen) -> PromptTokens:
        """Returns prompts for objects clicked on C times: (B, P, C, 2) and (B, P, C) bool."""
        return self.prompts.clicks(points_px, is_positive, seen.mask_features, seen.size)

    def boxes(self, boxes_px: Tensor, seen: Seen) -> PromptTokens:
        """Returns prompts for boxes (B, P, 4), xyxy in pixels of the input."""
        return self.prompts.boxes(boxes_px, seen.mask_features, seen.size)

    def answer(self, prompts: PromptTokens, seen: Seen, *, chunk: int = CHUNK) -> MaskAnswers:
        """Returns what the last layer answers.

        Args:
            chunk: prompts that are decoded at a time; none of them sees another.
        """
        count = prompts.tokens.shape[1]
        parts = [
            self.masks(prompts.chunk(slice(start, start + chunk)), seen.memory)[-1]
            for start in range(0, max(count, 1), chunk)
        ]
        return MaskAnswers(
            torch.cat([part.embeds for part in parts], 1),
            torch.cat([part.offsets for part in parts], 1),
            torch.cat([part.ious for part in parts], 1),
        )
