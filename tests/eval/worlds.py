"""A tiny data set and predictors for the tests of evaluations and reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segtune.types import IGNORE, Concept, Sample, Segmentation, Vocabulary

VOCABULARY = Vocabulary(
    (
        Concept("sky & sea", kind="stuff", group="seen"),
        Concept("car", group="seen"),
        Concept("<tree>", group="unseen"),
        Concept("boat", group="unseen"),
    ),
    name="tiny",
)


@dataclass
class Tiny:
    """`count` images of 12 x 16; image i shows classes 0..2 and one unlabelled row."""

    count: int = 5
    name: str = "tiny"
    split: str = "val"
    vocabulary: Vocabulary = VOCABULARY

    def __len__(self) -> int:
        return self.count

    def sample_id(self, index: int) -> str:
        return f"image-{index}"

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        semantic = rng.integers(0, 3, (12, 16)).astype(np.int32)
        semantic[0] = IGNORE
        image = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        return Sample(self.sample_id(index), image, semantic)


def wrong_by_index(sample: Sample) -> Segmentation:
    """Answers with the truth, but "car" in the first 2 * i columns of image i."""
    answer = np.where(sample.semantic == IGNORE, 0, sample.semantic).astype(np.int32)
    answer[:, : 2 * int(sample.id.split("-")[1])] = 1
    return Segmentation(answer.shape, VOCABULARY, semantic=answer)


def perfect(sample: Sample) -> Segmentation:
    """Answers with the truth."""
    return Segmentation(sample.semantic.shape, VOCABULARY, semantic=sample.semantic)
