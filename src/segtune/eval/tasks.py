"""Evaluation by instances, by panoptic segments, and by the answers to clicks and boxes.

Each task is a judge: it asks the model about a sample, counts the answer, and knows what to show of
it. `judge` runs one over a data set. Semantic evaluation, with its pixel counts, is in
`eval/evaluate.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import numpy as np
from tqdm import tqdm

from segtune.data.regions import objects_for, require_instances
from segtune.data.samples import as_segmentation
from segtune.errors import DataError, SegtuneError
from segtune.eval.examples import collect, ranked
from segtune.eval.instances import InstanceEvaluator
from segtune.eval.panoptic import PanopticEvaluator
from segtune.eval.promptable import BOX, CLICK, PromptableEvaluator, click_of
from segtune.eval.result import EvaluatedTask, EvaluationProtocol, EvaluationResult, Scores
from segtune.ops.segments import crop_segment
from segtune.types import IGNORE, Dataset, Instance, Sample, Segmentation, Vocabulary

Answers = tuple[Segmentation, ...]
"""What a model says about one sample; more than one where it is asked in several ways."""
Predict = Callable[[Sample], Segmentation]


class Seen(Protocol):
    """What a model saw of a sample; answers with a segment for each click or box, in order."""

    def points(self, points: np.ndarray, /) -> Segmentation:
        """Returns the answers to (N, 2) clicks (x, y)."""
        ...

    def boxes(self, boxes: np.ndarray, /) -> Segmentation:
        """Returns the answers to (N, 4) boxes xyxy."""
        ...


LookAt = Callable[[Sample], Seen]

ONE_LIMIT, ONE_AREA = (100,), {"all": (0.0, 1e10)}
"""All that the score of a single image needs."""


class Judge(Protocol):
    """Scores one task."""

    task: ClassVar[EvaluatedTask]

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


class InstanceJudge:
    """COCO's average precision of scored things."""

    task: ClassVar[EvaluatedTask] = "instance"

    def __init__(self, predict: Predict, vocabulary: Vocabulary) -> None:
        self.predict, self.vocabulary = predict, vocabulary
        self.total = InstanceEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the scored things of a sample."""
        return (self.predict(sample),)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its AP."""
        truth = objects_for("instance", sample, self.vocabulary).instances
        _check(sample, answers[0], truth, self.vocabulary)
        one = InstanceEvaluator(self.vocabulary)
        one.update(sample.id, answers[0].segments, truth)
        self.total.merge(one)
        return one.result(limits=ONE_LIMIT, areas=ONE_AREA).average_precision()

    def scores(self) -> Scores:
        """Returns AP and AR."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the true things, and as many of the best answers.

        A ranking has no threshold of its own, and a hundred regions show nothing.
        """
        truth = as_segmentation(objects_for("instance", sample, self.vocabulary), self.vocabulary)
        ranked = sorted(answers[0].segments, key=lambda segment: -segment.score)
        best = tuple(ranked[: len(truth.segments)])
        return replace(truth, semantic=None), replace(answers[0], semantic=None, segments=best)


class PanopticJudge:
    """Panoptic quality of segments that do not overlap."""

    task: ClassVar[EvaluatedTask] = "panoptic"

    def __init__(self, predict: Predict, vocabulary: Vocabulary) -> None:
        self.predict, self.vocabulary = predict, vocabulary
        self.total = PanopticEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the panoptic answer for a sample."""
        return (self.predict(sample),)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its PQ."""
        one = PanopticEvaluator(self.vocabulary)
        one.update_from(answers[0], sample)
        self.total.merge(one)
        return one.result().average().pq

    def scores(self) -> Scores:
        """Returns PQ, SQ and RQ."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the true segments, stuff included, and those of the answer."""
        truth = as_segmentation(objects_for("panoptic", sample, self.vocabulary), self.vocabulary)
        return replace(truth, semantic=None), replace(answers[0], semantic=None)


class PromptableJudge:
    """Overlap of the answers to one click and to one box for every object."""

    task: ClassVar[EvaluatedTask] = "promptable"

    def __init__(self, look: LookAt, vocabulary: Vocabulary) -> None:
        self.look, self.vocabulary = look, vocabulary
        self.total = PromptableEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the answers to the clicks and to the boxes; none where there is no object."""
        objects = _clickable(sample)
        if not objects:
            return ()
        clicks = np.array([click_of(item.mask) for item in objects], np.float32)
        boxes = np.array([item.box_px for item in objects], np.float32)
        seen = self.look(sample)
        return seen.points(clicks), seen.boxes(boxes)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns the mean IoU over its objects and both ways of asking."""
        objects = _clickable(sample)
        one = PromptableEvaluator(self.vocabulary)
        for protocol, answer in zip((CLICK, BOX), answers, strict=bool(answers)):
            masks = [segment.full_mask(answer.size) for segment in answer.segments]
            one.update(protocol, objects, masks)
            self.total.update(protocol, objects, masks)
        scores = one.result()
        return float(np.mean([scores.mean_iou(name) for name in (CLICK, BOX)]))

    def scores(self) -> Scores:
        """Returns mean overlaps."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the objects, and the answers to the clicks in the colours of their objects."""
        objects = _clickable(sample)
        truth = as_segmentation(replace(sample, instances=tuple(objects)), self.vocabulary)
        segments = [
            replace(segment, class_id=item.class_id)
            for item, segment in zip(objects, answers[0].segments, strict=True)
            if item.class_id != IGNORE and segment.mask.any()
        ]
        shown = replace(truth, semantic=None)
        return shown, replace(shown, segments=tuple(segments))


def judge(
    how: Judge,
    dataset: Dataset,
    *,
    protocol: EvaluationProtocol | None = None,
    examples: int | Sequence[str] = 6,
    example_side: int = 640,
    progress: bool = True,
) -> EvaluationResult:
    """Returns the scores of a task over every image of a data set.

    Args:
        how: the task, with the model.
        dataset: samples with instances.
        protocol, examples, example_side, progress: see `evaluate_semantic`.

    Raises:
        DataError: there are no images, or none has instances.
    """
    vocabulary = dataset.vocabulary
    if len(dataset) == 0:
        raise DataError(f"{dataset.name} ({dataset.split}) has no images; nothing to evaluate")
    if how.task != "panoptic" or any(concept.kind == "thing" for concept in vocabulary):
        require_instances(dataset, what=f"task {how.task}")
    image_scores: dict[str, float] = {}
    seconds = 0.0
    for index in tqdm(range(len(dataset)), desc="evaluate", disable=None if progress else True):
        sample = dataset[index]
        start = time.perf_counter()
        answers = how.ask(sample)
        seconds += time.perf_counter() - start
        image_scores[sample.id] = how.count(sample, answers)
    ranks = ranked(image_scores, examples)
    seen, unseen = (
        tuple(vocabulary.names[i] for i in vocabulary.ids_in(tag)) for tag in ("seen", "unseen")
    )
    return EvaluationResult(
        task=how.task,
        vocabulary=vocabulary,
        scores=how.scores(),
        protocol=replace(
            protocol or EvaluationProtocol(),
            dataset=dataset.name,
            split=dataset.split,
            vocabulary=vocabulary.name,
            classes=vocabulary.names,
            num_images=len(dataset),
            seen=seen,
            unseen=unseen,
        ),
        image_scores=image_scores,
        examples=collect(
            lambda sample: how.pictures(sample, how.ask(sample)),
            dataset,
            ranks,
            image_scores,
            reduce=reduced,
            side=example_side,
        ),
        seconds=seconds,
    )


def reduced(answer: Segmentation, size: tuple[int, int]) -> Segmentation:
    """Returns the segments of an answer at (H, W) `size`, nearest neighbour; the map is dropped.

    Segments that vanish are left out.
    """
    height, width = answer.size
    rows = np.arange(size[0]) * height // size[0]
    columns = np.arange(size[1]) * width // size[1]
    segments = []
    for segment in answer.segments:
        mask = segment.full_mask(answer.size)[np.ix_(rows, columns)]
        if mask.any():
            segments.append(crop_segment(mask, segment.class_id, segment.score))
    return replace(answer, size=size, semantic=None, segments=tuple(segments))


def _clickable(sample: Sample) -> list[Instance]:
    """Returns the objects that can be pointed at: no crowds, and none without a pixel."""
    return [item for item in sample.instances if not item.is_crowd and item.mask.any()]


def _check(
    sample: Sample, answer: Segmentation, truth: Sequence[Instance], vocabulary: Vocabulary
) -> None:
    """Raises where an answer is of another size or over other words than the truth."""
    if answer.vocabulary.names != vocabulary.names:
        raise SegtuneError(
            f"the answer for {sample.id!r} is over another vocabulary than the evaluation"
        )
    for item in truth:
        if item.mask.shape != tuple(answer.size):
            (h, w), (height, width) = answer.size, item.mask.shape
            raise DataError(
                f"sample {sample.id!r}: the answer is {w}x{h} but its masks are {width}x{height}; "
                "masks must have the size of their image"
            )
