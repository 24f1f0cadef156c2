"""Uni-OVSeg (Wang et al. 2024, arXiv 2402.08960), frozen: from an image and prompts to masks.

A CLIP ConvNeXt, a deformable pixel decoder over its maps, and a decoder of prompts. The text side
is that of the CLIP; how masks get names is in `systems/uniovseg`. No public source states the
stage-2 weights; what is loaded here is the released stage 1.

Shape letters: B images, P prompts, K masks of a prompt, S side of the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import Proposals, fingerprint_of
from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.decoders.deformable import DeformablePixelDecoder
from segtune.backbones.decoders.layers import ChannelNorm
from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.uniovseg.canvas import GREY, paint
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.backbones.uniovseg.everything import EverythingConfig, find_everything
from segtune.backbones.uniovseg.look import LookedUniOvseg
from segtune.backbones.uniovseg.mask_decoder import MaskAnswers, MaskDecoder
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder, PromptTokens
from segtune.backbones.uniovseg.seen import CHUNK, Seen
from segtune.ops.masks.pooling import masks_at, pool_inside

ABSENT = -100.0
"""Mask logit of what only fills up an image with fewer masks than its neighbours in the batch."""


class UniOvseg(nn.Module):
    """A frozen model that answers points and boxes by masks, and proposes masks of everything.

    Args:
        config: sizes.
        clip: both towers; its sizes are those of the config.
        name: of the weights.

    Attributes:
        everything: how `propose` finds masks.
        joint_width: k, of the space that words share with regions.
        dense_size: side of the canvas in pixels.
        patch_size: both sides of an input are multiples of it.

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
    masks_at_original: ClassVar[int] = 300
    background_word: ClassVar[str | None] = None
    stride: ClassVar[int] = 32
    padding: ClassVar[tuple[float, float, float]] = (GREY, GREY, GREY)

    def __init__(
        self, config: UniOvsegConfig, clip: ClipConvNext, *, name: str = "uniovseg"
    ) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.joint_width, self.patch_size = clip.joint_width, clip.patch_size
        self.dense_size = config.canvas
        self.everything = EverythingConfig()
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

    # -- what the house asks for ------------------------------------------------------------

    @torch.no_grad()
    def look(self, pixels: np.ndarray, short_side: int | None = None) -> LookedUniOvseg:
        """Returns what the model sees of (H, W, 3) uint8 pixels, for any number of clicks.

        Args:
            short_side: side of the canvas, rounded up to a multiple of 32; None takes that of the
                model.
        """
        side = -(-(short_side or self.config.canvas) // self.stride) * self.stride
        canvas, geometry = paint(pixels, side)
        seen = self.see(canvas[None].to(self.device))
        return LookedUniOvseg(self, seen, geometry, self.everything)

    @torch.no_grad()
    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB; sides are multiples of 32.

        The grid lies over the whole input. Objectness is the overlap with the true mask that the
        model expects; what fills up an image with fewer masks is empty and has objectness 0.
        """
        seen = self.see(pixels.to(self.device).float())
        found = find_everything(self, seen, [seen.size] * len(pixels), self.everything)
        most = max(len(each.ious) for each in found)
        masks, ious = [], []
        for each in found:
            missing = most - len(each.ious)
            masks.append(F.pad(each.mask_logits, (0, 0, 0, 0, 0, missing), value=ABSENT))
            ious.append(F.pad(each.ious, (0, missing)))
        return Proposals(torch.stack(masks), objectness=torch.stack(ious))

    def regions(self, seen: Seen, mask_logits: Tensor) -> Tensor:
        """Returns the mean of the last map of the CLIP inside each mask, (B, Q, C).

        Args:
            mask_logits: (B, Q, h, w), unbounded, over the input.
        """
        last = seen.maps[-1]
        return pool_inside(last, masks_at(mask_logits, (last.shape[-2], last.shape[-1])))

    @property
    def temperature(self) -> float:
        """The factor between cosines and logits, at most 100."""
        return self.clip.temperature

    def region_embeds(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Returns (N, k), unit length, of masks from elsewhere; see `ClipConvNext`."""
        return self.clip.region_embeds(pixels, masks)

    def name_logits(self, seen: Seen, mask_logits: Tensor, text_embeds: Tensor) -> Tensor:
        """Returns (B, Q, K): how much the frozen CLIP takes regions for each of K words.

        Args:
            mask_logits: (B, Q, h, w), unbounded, over the input.
            text_embeds: (K, k), unit length.
        """
        embeds = F.normalize(self.clip.project(self.regions(seen, mask_logits)), dim=-1)
        return self.clip.temperature * embeds @ text_embeds.to(embeds).T
