"""What a fit or an evaluation is about to see: images, pixels per class, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from segtune.data.checks.left_out import LeftOut, left_out_of, sentences
from segtune.data.readable import with_image
from segtune.types import IGNORE, Dataset, Sample, Vocabulary

LOOKED_AT = 100
"""Images whose labels are read; more of them say little more."""


CLASSES_SHOWN = 8
"""Classes whose share is told, and as many that have no pixel."""


@dataclass(frozen=True)
class Survey:
    """Counts over the labels of a dataset.

    Attributes:
        name, split, vocabulary: of the dataset.
        num_images: in the dataset.
        num_read: images whose labels were counted, spread over all.
        pixels: (K,) int64, labelled pixels of each class; where there is no map, those of objects.
        objects: (K,) int64, objects of each class.
        num_unlabelled: pixels without a class.
        left_out: what the dataset does not give, and why.
    """

    name: str
    split: str
    vocabulary: Vocabulary
    num_images: int
    num_read: int
    pixels: np.ndarray
    objects: np.ndarray
    num_unlabelled: int
    left_out: tuple[LeftOut, ...]

    @property
    def without_pixel(self) -> tuple[str, ...]:
        """The classes that no label shows."""
        names = self.vocabulary.names
        return tuple(name for name, count in zip(names, self.pixels, strict=True) if not count)

    def lines(self) -> list[str]:
        """Returns what there is to say, for a terminal."""
        said = [f"{self.name}, {self.split}: {self.num_images} image{'s'[: self.num_images != 1]}"]
        if self.objects.any():
            said[0] += f", {int(self.objects.sum())} objects{self._of_some}"
        said += sentences(self.left_out)
        if self.pixels.any():
            said.append(f"% of pixels{self._of_some}: {', '.join(self._shares())}")
        if none := self.without_pixel:
            rest = len(none) - CLASSES_SHOWN
            more = f" and {rest} more" if rest > 0 else ""
            shown = ", ".join(none[:CLASSES_SHOWN])
            said.append(f"without a pixel{self._of_some}: {shown}{more}")
        return said

    def _shares(self) -> list[str]:
        everything = int(self.pixels.sum()) + self.num_unlabelled
        order = np.argsort(-self.pixels, kind="stable")
        shown = [int(i) for i in order[:CLASSES_SHOWN] if self.pixels[i]]
        names = self.vocabulary.names
        parts = [f"{names[i]} {100 * self.pixels[i] / everything:.1f}" for i in shown]
        rest = int((self.pixels > 0).sum()) - len(shown)
        if rest > 0:
            parts.append(f"{rest} more")
        if self.num_unlabelled:
            parts.append(f"unlabelled {100 * self.num_unlabelled / everything:.1f}")
        return parts

    @property
    def _of_some(self) -> str:
        is_all = self.num_read == self.num_images
        return "" if is_all else f" in {self.num_read} of the images"


def survey(dataset: Dataset, *, most: int = LOOKED_AT) -> Survey:
    """Returns what the labels of a dataset hold, by reading at most so many of its images.

    Raises:
        DataError: a label file or a shape is damaged.
    """
    count = len(dataset)
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    size = len(dataset.vocabulary)
    pixels, objects = np.zeros(size, np.int64), np.zeros(size, np.int64)
    unlabelled = 0
    bar = tqdm(chosen, "reading labels", disable=None, leave=False, delay=2)
    for sample in with_image(dataset, bar):
        of_pixels, missing = _pixels(sample, size)
        pixels += of_pixels
        unlabelled += missing
        named = [item.class_id for item in sample.instances if item.class_id != IGNORE]
        objects += np.bincount(np.array(named, int), minlength=size)
    return Survey(
        dataset.name,
        dataset.split,
        dataset.vocabulary,
        count,
        len(chosen),
        pixels,
        objects,
        unlabelled,
        left_out_of(dataset),
    )


def _pixels(sample: Sample, size: int) -> tuple[np.ndarray, int]:
    """Returns the pixels of each class, and those of none."""
    if sample.semantic is not None:
        counts = np.bincount((sample.semantic + 1).ravel(), minlength=size + 1)
        return counts[1:], int(counts[0])
    counts = np.zeros(size, np.int64)
    covered: np.ndarray | None = None
    for item in sample.instances:
        if item.class_id == IGNORE:
            continue
        counts[item.class_id] += int(item.mask.sum())
        covered = item.mask if covered is None else covered | item.mask
    return counts, 0 if covered is None else int((~covered).sum())
