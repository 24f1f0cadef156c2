"""How well a model segments the object that is pointed at: 1-click, 1-box and 1-point oracle IoU.

One prompt per object, one answer per prompt, and the mean IoU over all objects of the split:
- "1-click": the click is the pixel of the object farthest from its border (`click_of`);
- "1-box": the box is that of the object's mask;
- "1-point oracle" (Uni-OVSeg, section 7.1 of its specification): a grid of points gives many masks,
  and each object takes the one that fits it best, wherever its point was.
Crowds and objects without a pixel are left out. Frame: pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segtune.errors import SegtuneError
from segtune.types import IGNORE, Instance, Sample, Vocabulary

CLICK, BOX, ORACLE = "1-click", "1-box", "1-point oracle"
AREAS: Mapping[str, tuple[float, float]] = {
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, np.inf),
}
"""Object sizes in pixels, the upper end excluded: every object has one size."""

Answerer = Callable[[Sample, np.ndarray], Sequence[np.ndarray]]
"""Sample, (N, 2) clicks or (N, 4) boxes -> N masks (H, W) bool of the original image."""


def click_of(mask: np.ndarray) -> tuple[float, float]:
    """Returns the (x, y) centre of the pixel farthest from the border of a mask.

    The distance is Euclidean; the edge of the image is a border; of equal pixels the first one in
    reading order is taken.

    Args:
        mask: (H, W) bool with at least one pixel.

    Example:
        >>> click_of(np.ones((3, 5), dtype=bool))
        (1.5, 1.5)
    """
    x1, y1, x2, y2 = Instance(0, mask).box_px
    if x1 == x2:
        raise SegtuneError("an empty mask has no place to click; leave it out")
    depth = ndimage.distance_transform_edt(np.pad(mask[y1:y2, x1:x2], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return x1 + float(column) + 0.5, y1 + float(row) + 0.5


class PromptableEvaluator:
    """Collects one IoU per object and protocol.

    Example:
        >>> evaluator = PromptableEvaluator(Vocabulary.of("car"))
        >>> truth = [Instance(0, np.array([[True, True, False]]))]
        >>> evaluator.update(CLICK, truth, [np.array([[True, False, False]])])
        >>> evaluator.result().summary()["1-click IoU"]
        0.5
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._objects: dict[str, list[tuple[int, int, float]]] = {}

    def update(
        self, protocol: str, truth: Sequence[Instance], answers: Sequence[np.ndarray]
    ) -> None:
        """Adds the objects of one image with the mask that answers each.

        Args:
            protocol: name of the rows, for example `CLICK` or `BOX`.
            truth: N objects; crowds and empty ones are left out.
            answers: N masks, (H, W) bool, in the order of `truth`.
        """
        if len(truth) != len(answers):
            raise SegtuneError(
                f"{len(answers)} answers for {len(truth)} objects; give one mask per prompt"
            )
        for instance, answer in zip(truth, answers, strict=True):
            if _counts(instance):
                pixels = np.array([_pixels_of(answer, instance.mask.shape)])
                self._add(protocol, instance, float(_ious(instance, [answer], pixels)[0]))

    def update_best(
        self, protocol: str, truth: Sequence[Instance], pool: Sequence[np.ndarray]
    ) -> None:
        """Adds the objects of one image, each with the mask of a pool that fits it best.

        Args:
            protocol: name of the rows, for example `ORACLE`.
            pool: any number of masks, (H, W) bool; without one, every IoU is 0.
        """
        truth = [instance for instance in truth if _counts(instance)]
        if not truth:
            return
        pixels = np.array([_pixels_of(answer, truth[0].mask.shape) for answer in pool])
        for instance in truth:
            best = _ious(instance, pool, pixels).max(initial=0.0)
            self._add(protocol, instance, float(best))

    def result(self) -> PromptableScores:
        """Returns the scores of the objects seen so far."""
        columns = {
            name: tuple(np.array(column) for column in zip(*rows, strict=True))
            for name, rows in self._objects.items()
        }
        return PromptableScores(
            class_names=self.vocabulary.names,
            class_ids={name: column[0] for name, column in columns.items()},
            pixels={name: column[1] for name, column in columns.items()},
            ious={name: column[2] for name, column in columns.items()},
        )

    def _add(self, protocol: str, instance: Instance, iou: float) -> None:
        if not IGNORE <= instance.class_id < len(self.vocabulary):
            raise SegtuneError(f"class id {instance.class_id} is not in the vocabulary")
        row = (instance.class_id, int(np.count_nonzero(instance.mask)), iou)
        self._objects.setdefault(protocol, []).append(row)


@dataclass(frozen=True)
class PromptableScores:
    """The IoU of every object, by protocol; fractions 0..1.

    Attributes:
        class_ids: (N,) int, `IGNORE` for objects without a name.
        pixels: (N,) int, area of the object.
        ious: (N,) float64.
    """

    class_names: tuple[str, ...]
    class_ids: Mapping[str, np.ndarray]
    pixels: Mapping[str, np.ndarray]
    ious: Mapping[str, np.ndarray]

    def mean_iou(self, protocol: str, *, area: str | None = None) -> float:
        """Returns the mean over objects, of one size in `AREAS` or of all; NaN without one."""
        if protocol not in self.ious:
            return float("nan")
        low, high = (0.0, np.inf) if area is None else AREAS[area]
        pixels = self.pixels[protocol]
        return _mean(self.ious[protocol][(pixels >= low) & (pixels < high)])

    def summary(self) -> dict[str, float]:
        """Returns the mean IoU of each protocol, then by object size."""
        row = {f"{name} IoU": self.mean_iou(name) for name in self.ious}
        for name in self.ious:
            row |= {f"{name} IoU {area}": self.mean_iou(name, area=area) for area in AREAS}
        return row

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns the mean IoU per class, (K,) for each protocol; NaN without an object."""
        return {
            f"{name} IoU": np.array(
                [_mean(ious[self.class_ids[name] == k]) for k in range(len(self.class_names))]
            )
            for name, ious in self.ious.items()
        }


def evaluate_promptable(
    samples: Iterable[Sample],
    vocabulary: Vocabulary,
    *,
    by_click: Answerer | None = None,
    by_box: Answerer | None = None,
) -> PromptableScores:
    """Returns the 1-click and 1-box IoU of a model, asked once per image and protocol.

    Args:
        samples: with instances.
        by_click: takes (N, 2) float32 (x, y) clicks; None leaves the protocol out.
        by_box: takes (N, 4) float32 xyxy boxes, right and bottom exclusive.
    """
    evaluator = PromptableEvaluator(vocabulary)
    for sample in samples:
        truth = [instance for instance in sample.instances if _counts(instance)]
        if not truth:
            continue
        if by_click is not None:
            clicks = np.array([click_of(item.mask) for item in truth], dtype=np.float32)
            evaluator.update(CLICK, truth, by_click(sample, clicks))
        if by_box is not None:
            boxes = np.array([item.box_px for item in truth], dtype=np.float32)
            evaluator.update(BOX, truth, by_box(sample, boxes))
    return evaluator.result()


def _counts(instance: Instance) -> bool:
    return not instance.is_crowd and bool(instance.mask.any())


def _pixels_of(answer: np.ndarray, shape: tuple[int, ...]) -> int:
    """Returns the area of an answer, which must be a mask of this shape."""
    if answer.shape != shape or answer.dtype != bool:
        raise SegtuneError(
            f"an answer is a {answer.dtype} array of {answer.shape}; expected bool of {shape}, "
            "the size of the image"
        )
    return int(np.count_nonzero(answer))


def _ious(instance: Instance, answers: Sequence[np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Returns the (N,) IoU of an object with masks of known area, counted inside its box."""
    x1, y1, x2, y2 = instance.box_px
    crop = instance.mask[y1:y2, x1:x2]
    shared = np.array([np.count_nonzero(crop & answer[y1:y2, x1:x2]) for answer in answers])
    return shared / (np.count_nonzero(crop) + pixels - shared)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
