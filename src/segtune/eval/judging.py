"""Evaluation of a model on a data set: ask about every image, count, keep a few examples.

One loop for all tasks; what a task asks, counts and shows is its judge (`segtune.eval.judges`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

import numpy as np
from tqdm import tqdm

from segtune.data.readable import is_bad_image, what_is_bad
from segtune.errors import DataError, SegtuneError
from segtune.eval.examples import collect, ranked
from segtune.eval.judges import JUDGES
from segtune.eval.needs import check_data
from segtune.eval.result import EvaluationProtocol, EvaluationResult, Scores
from segtune.eval.semantic import ConfusionMatrix
from segtune.storage.registry import resolve
from segtune.types import Dataset, Sample, Segmentation, Vocabulary

Answers = tuple[Segmentation, ...]
"""What a model says about one sample; more than one where it is asked in several ways."""


class Seen(Protocol):
    """What a model saw of a sample; answers with a segment for each click or box, in order."""

    def points(self, points: np.ndarray, /) -> Segmentation:
        """Returns the answers to (N, 2) clicks (x, y)."""
        ...

    def boxes(self, boxes: np.ndarray, /) -> Segmentation:
        """Returns the answers to (N, 4) boxes xyxy."""
        ...


def _cannot_answer(sample: Sample) -> NoReturn:
    raise SegtuneError("the model that is scored does not answer what this task asks")


@dataclass(frozen=True)
class ScoredModel:
    """What a judge may ask of a model.

    Attributes:
        in_words: returns the segmentation of a sample in the words of the data set, of the task
            that the judge asks for.
        look: returns what the model saw of a sample, to be asked about clicks and boxes.
    """

    in_words: Callable[[Sample], Segmentation] = _cannot_answer
    look: Callable[[Sample], Seen] = _cannot_answer


class Judge(Protocol):
    """Scores one task; made with a `ScoredModel` and the vocabulary of the data set."""

    def ask(self, sample: Sample) -> Answers:
        """Returns the answers of the model."""
        ...

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds the answers of a sample and returns its score alone; NaN without truth."""
        ...

    def scores(self) -> Scores:
        """Returns the scores of the samples seen so far."""
        ...

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns what to show of the truth and of the answers."""
        ...

    @property
    def confusion(self) -> ConfusionMatrix | None:
        """The pixel counts, of a judge that has some."""
        ...


def judge(
    task: str,
    model: ScoredModel,
    dataset: Dataset,
    *,
    protocol: EvaluationProtocol | None = None,
    examples: int | Sequence[str] = 6,
    example_side: int = 640,
    progress: bool = True,
    on_bad: Callable[[str], None] | None = None,
) -> EvaluationResult:
    """Returns the scores of a task over every image of a data set.

    Args:
        task: a name in `JUDGES`.
        dataset: with what the task needs.
        protocol: what the data set does not know, such as `templates`, `shots`, `seeds`,
            `selection` and `weights`; the rest is filled in here.
        examples: how many images to keep, spread from the worst to the best, or their ids, as
            `EvaluationResult.example_ids` of an earlier row of the same report. They are asked
            about a second time at the end, so that memory stays bounded.
        example_side: longer side of kept images.
        progress: show a bar, if the output is a terminal.
        on_bad: told of every image that cannot be read or does not fit into memory, which is then
            left out; None stops at the first.

    Raises:
        DataError: the data lacks what the task needs, or no image can be read.
    """
    spec, vocabulary = JUDGES.find(task), dataset.vocabulary
    check_data(dataset, spec)
    how: Judge = resolve(spec.judge)(model, vocabulary)
    image_scores: dict[str, float] = {}
    bad: list[str] = []
    seconds = 0.0
    # disable=None asks tqdm to be silent where the output is not a terminal.
    for index in tqdm(range(len(dataset)), desc="evaluate", disable=None if progress else True):
        try:
            sample = dataset[index]
            start = time.perf_counter()
            answers = how.ask(sample)
        except Exception as error:
            if on_bad is None or not is_bad_image(error):
                raise
            bad.append(said := what_is_bad(error, dataset.sample_id(index)))
            on_bad(said)
            continue
        seconds += time.perf_counter() - start
        image_scores[sample.id] = how.count(sample, answers)
    if bad and not image_scores:
        raise DataError(f"no image of {dataset.name} can be evaluated: {bad[0]}")
    return EvaluationResult(
        task=spec.name,
        vocabulary=vocabulary,
        scores=how.scores(),
        protocol=_filled(protocol or EvaluationProtocol(), dataset, len(image_scores)),
        image_scores=image_scores,
        examples=collect(
            lambda sample: how.pictures(sample, how.ask(sample)),
            dataset,
            ranked(image_scores, examples),
            image_scores,
            side=example_side,
        ),
        confusion=how.confusion,
        seconds=seconds,
    )


def _filled(protocol: EvaluationProtocol, dataset: Dataset, num_images: int) -> EvaluationProtocol:
    """Returns the protocol with what the data set knows, and how many images were scored."""
    vocabulary = dataset.vocabulary
    seen, unseen = (
        tuple(vocabulary.names[i] for i in vocabulary.ids_in(tag)) for tag in ("seen", "unseen")
    )
    return replace(
        protocol,
        dataset=dataset.name,
        split=dataset.split,
        vocabulary=vocabulary.name,
        classes=vocabulary.names,
        num_images=num_images,
        seen=seen,
        unseen=unseen,
    )


def check_words(sample: Sample, answer: Segmentation, vocabulary: Vocabulary) -> None:
    """Raises where an answer is over other words than the data set."""
    if answer.vocabulary.names == vocabulary.names:
        return
    given, expected = len(answer.vocabulary), len(vocabulary)
    other = "other names or another order" if given == expected else f"{given} classes"
    raise SegtuneError(
        f"the data set has {expected} classes but the answer for {sample.id!r} has {other}; "
        "predict with the vocabulary of the data set"
    )
