"""One image and one vocabulary for `two_stage_cost`: random weights, given masks, counted words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.base import Proposals
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from segtune.backbones.two_stage.model import TwoStage
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.systems.ovseg.model import PromptedTwoStage
from segtune.types import Geometry, Vocabulary
from segtune.vocabulary.builtin import builtin


@dataclass(frozen=True)
class Sizes:
    """Both networks, the image, the vocabularies with how many of their words are encoded, and the
    parts whose memory is measured, each in two processes of its own."""

    maskformer: MaskFormerConfig
    clip: Mapping[str, int]
    geometry: Geometry
    vocabularies: Mapping[int, int]
    templates: str
    memory_of: tuple[str, ...]


FULL = Sizes(
    MaskFormerConfig(joint_width=512),  # Swin-B, 100 queries
    {"width": 768, "layers": 12, "heads": 12, "image_size": 224, "patch_size": 16}
    | {"joint_width": 512, "text_width": 512, "text_layers": 12, "vocab_size": 49408}
    | {"context": 77},
    Geometry((480, 640), (640, 853), (640, 864)),
    {150: 15, 847: 15},
    "vild_14",
    ("labels", "image"),
)
QUICK = Sizes(
    MaskFormerConfig(
        SwinConfig(8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window=4),
        hidden=32,
        num_queries=12,
        joint_width=32,
        class_hidden=16,
    ),
    {"width": 64, "layers": 4, "heads": 4, "image_size": 32, "patch_size": 8}
    | {"joint_width": 32, "text_width": 32, "text_layers": 2, "vocab_size": 4096, "context": 77},
    Geometry((48, 70), (64, 93), (64, 96)),
    {150: 10, 847: 10},
    "single",
    ("labels",),
)


class WordTokenizer:
    """One token per word or mark, in the place of CLIP's merges, which are not bundled."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        words = re.findall(r"\w+|[^\w\s]", sentence)
        ids = [1 + sum(map(ord, word)) % (self.vocab_size - 3) for word in words]
        return {"input_ids": [0, *ids, self.vocab_size - 1]}


class SameMasks(MaskFormer):
    """A MaskFormer that runs, and whose masks and queries are then replaced by given ones.

    Those of random weights would cover everything or nothing.
    """

    given: Proposals

    def propose(self, pixels: Tensor) -> Proposals:
        super().propose(pixels)
        return self.given


def slanted_masks(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Returns mask logits (Q, h, w) of slanted bars of many sizes: half of their boxes is blank."""
    height, width = size
    y = torch.arange(height)[:, None] / min(size)
    x = torch.arange(width)[None] / min(size)
    masks = []
    for _ in range(count):
        cy, cx, length, turn = torch.rand(4, generator=generator).tolist()
        cy, cx = cy * height / min(size), cx * width / min(size)
        angle = torch.tensor(0.5 + 0.6 * turn + (1.57 if turn > 0.5 else 0.0))
        along = (x - cx) * angle.cos() + (y - cy) * angle.sin()
        across = (y - cy) * angle.cos() - (x - cx) * angle.sin()
        half = 0.1 + 0.5 * length
        distance = (along / half) ** 2 + (across / (0.22 * half)) ** 2
        masks.append(8 * (1 - distance).clamp(min=-1.5))
    return torch.stack(masks)


@dataclass(frozen=True)
class Case:
    """The model, one image and one vocabulary."""

    pair: TwoStage
    system: PromptedTwoStage
    pixels: Tensor  # (1, 3, H, W), 0..255
    geometry: Geometry
    vocabulary: Vocabulary
    words: Words  # random embeddings: their values change no cost
    encoded: Vocabulary  # the part of the vocabulary whose sentences are encoded
    templates: str

    @property
    def scale(self) -> float:
        """By how much the whole vocabulary has more sentences than `encoded`."""
        return len(self.vocabulary) / len(self.encoded)


def make_case(classes: int, sizes: Sizes) -> Case:
    """Returns the case of a vocabulary; the same call gives the same numbers."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        proposals = SameMasks(sizes.maskformer, name="maskformer")
    clip = random_clip_vit(**sizes.clip)
    clip.tokenizer = WordTokenizer(sizes.clip["vocab_size"])
    height, width = sizes.geometry.input_size
    count, k = sizes.maskformer.num_queries, sizes.maskformer.joint_width
    proposals.given = Proposals(
        slanted_masks(count, (height // 4, width // 4), generator)[None],
        torch.randn(1, count, k, generator=generator),
    )
    pair = TwoStage(proposals, clip)
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
    vocabulary = builtin(f"ade20k_{classes}", names="joined")
    by_length = sorted(range(classes), key=lambda i: len(vocabulary.names[i]))
    sample = by_length[:: classes // sizes.vocabularies[classes]][: sizes.vocabularies[classes]]
    embeds = F.normalize(torch.randn(classes, k, generator=generator), dim=-1)
    return Case(
        pair=pair,
        system=build_system("ovseg", pair),  # type: ignore[arg-type]
        pixels=255 * F.interpolate(coarse, (height, width), mode="bilinear"),
        geometry=sizes.geometry,
        vocabulary=vocabulary,
        words=Words(embeds, names=vocabulary.names),
        encoded=vocabulary.subset(sample),
        templates=sizes.templates,
    )
