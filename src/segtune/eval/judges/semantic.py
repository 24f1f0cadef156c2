"""Pixels against a label map: one streaming confusion matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segtune.errors import DataError, SegtuneError
from segtune.eval.judging import Answers, ScoredModel, check_words
from segtune.eval.result import Scores
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Sample, Segmentation, Vocabulary


class SemanticJudge:
    """Mean IoU and its relatives."""

    def __init__(self, model: ScoredModel, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.confusion = ConfusionMatrix(len(vocabulary))

    def ask(self, sample: Sample) -> Answers:
        """Returns the label map of a sample."""
        return (self.model.in_words(sample),)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds the pixels of a sample and returns its mIoU."""
        pred, truth = _checked_maps(sample, answers[0], self.vocabulary)
        one = ConfusionMatrix(len(self.vocabulary))
        try:
            one.update(pred, truth)
        except SegtuneError as error:
            raise DataError(f"sample {sample.id!r}: {error}") from error
        self.confusion.merge(one)
        return one.scores(self.vocabulary).mean_iou

    def scores(self) -> Scores:
        """Returns IoU and accuracy."""
        return self.confusion.scores(self.vocabulary)

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns both label maps."""
        answer = replace(answers[0], segments=())
        return replace(answer, semantic=sample.semantic, source={}), answer


def _checked_maps(
    sample: Sample, answer: Segmentation, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Returns prediction and truth as (H, W) int maps that can be compared."""
    if sample.semantic is None:
        raise DataError(f"sample {sample.id!r} has no semantic map; evaluate a labelled split")
    if answer.semantic is None:
        raise SegtuneError(
            f"the answer for {sample.id!r} has no semantic map; predict with task 'semantic'"
        )
    if isinstance(sample.image, np.ndarray) and sample.image.shape[:2] != sample.semantic.shape:
        raise DataError(
            f"sample {sample.id!r}: image is {_size(sample.image)} but its label map is "
            f"{_size(sample.semantic)}; they must have the same size"
        )
    if answer.semantic.shape != sample.semantic.shape:
        raise DataError(
            f"sample {sample.id!r}: the answer is {_size(answer.semantic)} but the label map is "
            f"{_size(sample.semantic)}; label maps must have the size of their image"
        )
    check_words(sample, answer, vocabulary)
    return answer.semantic, sample.semantic


def _size(array: np.ndarray) -> str:
    """Returns "WIDTHxHEIGHT" of an image or label map."""
    return f"{array.shape[1]}x{array.shape[0]}"
