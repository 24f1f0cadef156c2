"""Evaluation of a model on a data set: predict every image, score, keep a few examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from segtune.errors import DataError, SegtuneError
from segtune.eval.examples import collect, ranked
from segtune.eval.result import EvaluationProtocol, EvaluationResult
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Dataset, Sample, Segmentation, Vocabulary


def evaluate_semantic(
    predict: Callable[[Sample], Segmentation],
    dataset: Dataset,
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    protocol: EvaluationProtocol | None = None,
    examples: int | Sequence[str] = 6,
    example_side: int = 640,
    progress: bool = True,
) -> EvaluationResult:
    """Returns the scores of `predict` over every image of `dataset`.

    Args:
        predict: gives the label map of a sample, at the size of its annotation, over the
            vocabulary of the data set.
        dataset: samples with `semantic` maps.
        groups: further groups of class ids besides the tags of the vocabulary.
        protocol: what the data set does not know, such as `templates`, `shots`, `seeds`,
            `selection` and `weights`; the rest is filled in here.
        examples: how many images to keep, spread from the worst to the best, or their ids, as
            `EvaluationResult.example_ids` of an earlier row of the same report. They are predicted
            a second time at the end, so that memory stays bounded.
        example_side: longer side of kept images.
        progress: show a bar, if the output is a terminal.
    """
    vocabulary = dataset.vocabulary
    if len(dataset) == 0:
        raise DataError(f"{dataset.name} ({dataset.split}) has no images; nothing to evaluate")
    matrix = ConfusionMatrix(len(vocabulary))
    image_scores: dict[str, float] = {}
    seconds = 0.0
    # disable=None asks tqdm to be silent where the output is not a terminal.
    for index in tqdm(range(len(dataset)), desc="evaluate", disable=None if progress else True):
        sample = dataset[index]
        start = time.perf_counter()
        answer = predict(sample)
        seconds += time.perf_counter() - start
        of_image = _count(sample, answer, vocabulary)
        matrix.merge(of_image)
        image_scores[sample.id] = of_image.scores(vocabulary).mean_iou

    def pictures(sample: Sample) -> tuple[Segmentation, Segmentation]:
        answer = replace(predict(sample), segments=())
        return replace(answer, semantic=sample.semantic, source={}), answer

    ranks = ranked(image_scores, examples)
    scores = matrix.scores(vocabulary, groups=groups)
    tagged = {tag: group.class_ids for tag, group in scores.groups.items()}
    return EvaluationResult(
        task="semantic",
        vocabulary=vocabulary,
        scores=scores,
        protocol=replace(
            protocol or EvaluationProtocol(),
            dataset=dataset.name,
            split=dataset.split,
            vocabulary=vocabulary.name,
            classes=vocabulary.names,
            num_images=len(dataset),
            seen=tuple(vocabulary.names[i] for i in tagged.get("seen", ())),
            unseen=tuple(vocabulary.names[i] for i in tagged.get("unseen", ())),
        ),
        image_scores=image_scores,
        examples=collect(
            pictures, dataset, ranks, image_scores, reduce=_reduced, side=example_side
        ),
        confusion=matrix,
        seconds=seconds,
    )


def _count(sample: Sample, answer: Segmentation, vocabulary: Vocabulary) -> ConfusionMatrix:
    """Returns the confusion matrix of one image."""
    pred, truth = _checked_maps(sample, answer, vocabulary)
    matrix = ConfusionMatrix(len(vocabulary))
    try:
        matrix.update(pred, truth)
    except SegtuneError as error:
        raise DataError(f"sample {sample.id!r}: {error}") from error
    return matrix


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
    if answer.vocabulary.names != vocabulary.names:
        given, expected = len(answer.vocabulary), len(vocabulary)
        other = "other names or another order" if given == expected else f"{given} classes"
        raise SegtuneError(
            f"the data set has {expected} classes but the answer for {sample.id!r} has {other}; "
            "predict with the vocabulary of the data set"
        )
    return answer.semantic, sample.semantic


def _size(array: np.ndarray) -> str:
    """Returns "WIDTHxHEIGHT" of an image or label map."""
    return f"{array.shape[1]}x{array.shape[0]}"


def _reduced(answer: Segmentation, size: tuple[int, int]) -> Segmentation:
    """Returns the semantic answer at `size`, nearest neighbour."""
    assert answer.semantic is not None
    rows = np.arange(size[0]) * answer.semantic.shape[0] // size[0]
    columns = np.arange(size[1]) * answer.semantic.shape[1] // size[1]
    return replace(answer, size=size, semantic=answer.semantic[np.ix_(rows, columns)])
