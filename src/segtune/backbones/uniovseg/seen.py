"""What Uni-OVSeg saw of images, and what is asked of the model about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from segtune.backbones.uniovseg.mask_decoder import MaskAnswers, MaskMemory
from segtune.backbones.uniovseg.prompt_encoder import PromptTokens

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


class AnswersPrompts(Protocol):
    """What those who ask need of a `UniOvseg`; see there."""

    @property
    def device(self) -> torch.device: ...

    def points(self, points_px: Tensor, seen: Seen) -> PromptTokens: ...

    def clicks(self, points_px: Tensor, is_positive: Tensor, seen: Seen) -> PromptTokens: ...

    def boxes(self, boxes_px: Tensor, seen: Seen) -> PromptTokens: ...

    def answer(self, prompts: PromptTokens, seen: Seen, *, chunk: int = CHUNK) -> MaskAnswers: ...

    def name_logits(self, seen: Seen, mask_logits: Tensor, text_embeds: Tensor) -> Tensor: ...
