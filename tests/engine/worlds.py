"""Data, a mask source and a CLIP for mining at toy size: colours that a stand-in CLIP can tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.base import Proposals
from segtune.backbones.clip.random import random_clip_vit
from segtune.data.samples import IndexedDataset, Record
from segtune.engine.masks import LabelMasks, MaskSource
from segtune.engine.stage import RegionStage
from segtune.ops.regions.recipes import OVSEG
from segtune.types import IGNORE, Instance, Sample, Vocabulary

VOCABULARY = Vocabulary.of("red", "green", "blue")
CAPTIONS = (
    ("a red thing on green", "blue again"),
    ("two greens and blues",),
    (),
    ("nothing to see",),
    ("red, red and blue", "reds"),
)
SIZE = (32, 40)


def load(record: Record) -> Sample:
    """Three columns of red, green and blue, the first of them unlabelled in sample 3."""
    number = int(record.id)
    semantic = np.repeat(np.arange(3, dtype=np.int32), (12, 14, 14))[None].repeat(SIZE[0], 0)
    image = np.zeros((*SIZE, 3), np.uint8)
    for channel in range(3):
        image[..., channel][semantic == channel] = 200 + number
    if number == 3:
        semantic[semantic == 0] = IGNORE
    return Sample(record.id, image, semantic, captions=CAPTIONS[number])


def dataset(length: int = len(CAPTIONS)) -> IndexedDataset[Record]:
    records = [Record(str(i), Path(f"{i}.png")) for i in range(length)]
    return IndexedDataset("columns", "train", VOCABULARY, records, load)


def objects(masks: Sequence[np.ndarray], ids: Sequence[int], **more: Any) -> Sample:
    """A sample of listed objects on a black image."""
    image = np.zeros((*masks[0].shape, 3), np.uint8)
    instances = tuple(Instance(i, mask) for i, mask in zip(ids, masks, strict=True))
    return Sample("objects", image, instances=instances, **more)


class Letters:
    """One token per letter."""

    def __call__(self, sentence: str) -> dict[str, list[int]]:
        return {"input_ids": [0, *(1 + (ord(c) % 60) for c in sentence.lower()), 63]}


def clip(seed: int = 0) -> Any:
    """A random CLIP of width 32 that reads letters; regions of 16 pixels."""
    model = random_clip_vit(image_size=16, patch_size=8, context=64, seed=seed)
    model.tokenizer = Letters()
    return model


def stage(source: MaskSource | None = None, cache: Path | None = None) -> RegionStage:
    data = dataset()
    return RegionStage(data, clip(), source or LabelMasks(data.vocabulary), OVSEG, cache)


class GridProposals:
    """Proposes the four quarters of the input and an empty mask, at a quarter of its size."""

    name = "grid"
    stride = 16
    padding = (118.0, 118.0, 118.0)
    fingerprint = "0123"

    def __init__(self) -> None:
        self.calls = 0

    def propose(self, pixels: Tensor) -> Proposals:
        self.calls += 1
        h, w = pixels.shape[2] // 4, pixels.shape[3] // 4
        logits = torch.full((len(pixels), 5, h, w), -5.0)
        for i, (rows, cols) in enumerate(
            (r, c)
            for r in (slice(0, h // 2), slice(h // 2, h))
            for c in (slice(0, w // 2), slice(w // 2, w))
        ):
            logits[:, i, rows, cols] = 5.0
        return Proposals(logits)
