"""A tiny data set and predictors for the tests of evaluations and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segtune.data.regions import objects_for
from segtune.data.samples import Subset, as_segmentation
from segtune.data.synthetic import SyntheticDataset
from segtune.eval.judging import ScoredModel
from segtune.types import IGNORE, Concept, Dataset, Sample, Segmentation, Task, Vocabulary

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


SCENES = SyntheticDataset("base", "val", size=(64, 80), length=5)
"""Things on stuff, with instances; all in one map."""


def truth_of(task: Task, sample: Sample) -> Segmentation:
    """Returns the true segments of a scene as an answer."""
    listed = objects_for(task, sample, SCENES.vocabulary)
    return replace(as_segmentation(listed, SCENES.vocabulary), semantic=None)


def all_but_one(task: Task) -> ScoredModel:
    """Answers with the truth, without the first segment in odd images."""

    def in_words(sample: Sample) -> Segmentation:
        truth = truth_of(task, sample)
        return replace(truth, segments=truth.segments[int(sample.id[-1]) % 2 :])

    return ScoredModel(in_words=in_words)


class Changed(Subset):
    """The first samples of a data set with some fields replaced."""

    def __init__(self, dataset: Dataset, indices: Sequence[int], **changes: Any) -> None:
        super().__init__(dataset, indices)
        self.changes = changes

    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), **self.changes)
