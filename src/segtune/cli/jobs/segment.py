"""Answering every image of `segtune segment`, and counting what was found on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from segtune.cli.images import ImageFile
from segtune.cli.jobs.reading import read_ahead
from segtune.cli.options.clicks import Pointing
from segtune.cli.tables import percent
from segtune.data.masks.source import MaskSource
from segtune.data.masks_in import without_empty
from segtune.data.readable import is_bad_image, what_is_bad
from segtune.errors import SegtuneError, one_line
from segtune.predict.agreement import labels_equal
from segtune.predict.look import UNNAMED, painted
from segtune.predict.memory import check_memory
from segtune.predict.segmenter import Segmenter
from segtune.predict.similar import Shown
from segtune.prompts import Prompts
from segtune.storage.images import image_size, read_image
from segtune.systems.base import System
from segtune.types import Resolution, Sample, Segmentation, Task, Vocabulary


@dataclass(frozen=True)
class Answer:
    """One segmented image: its name, its pixels (H, W, 3) uint8 and the result."""

    name: str
    pixels: np.ndarray
    result: Segmentation


@dataclass
class Job:
    """What to do with every image, and what was found on the way.

    Attributes:
        vocabulary: None where masks of points and boxes stay unnamed.
        pointing: what to ask for in place of every pixel.
        masks: those that are named, in place of finding some.
        skip_empty: leave masks without a pixel out.
        num_images: how many there are to segment.
        system: answers in place of that of the prompts or of the model.
        everything: find masks without names.
        shown: find objects such as those that the model was shown.
        shares: class name -> summed share of the images.
        counts: class name -> images that show it.
        last: the newest result.
        num_done: images that were segmented.
        num_masks: segments in them.
        num_failed: words and images that could not be read.
    """

    model: Segmenter
    prompts: Prompts | None
    vocabulary: Vocabulary | None
    task: Task
    resolution: Resolution
    min_score: float | None = None
    pointing: Pointing | None = None
    masks: MaskSource | None = None
    skip_empty: bool = False
    num_images: int = 1
    last: Segmentation | None = None
    system: System | None = None
    everything: bool = False
    shown: Shown | None = None
    shares: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    num_done: int = 0
    num_masks: int = 0
    num_failed: int = 0

    def answers(self, images: Sequence[ImageFile]) -> Iterator[Answer]:
        """Yields the answer for every image that can be read; the others are reported."""
        for image, pixels_of in read_ahead(tqdm(images, "segment", disable=None)):
            try:
                answer = self.answer(image, pixels_of)
            except Exception as error:
                if not self.is_about_one_image(error):
                    raise
                self.fail(what_is_bad(error, str(image.path)))
                continue
            if answer is not None:
                yield self.counted(answer)

    def answer(
        self, image: ImageFile, pixels_of: Callable[[], np.ndarray] | None = None
    ) -> Answer | None:
        """Returns the answer for an image; None where its masks cannot be read.

        Args:
            image: its name and file.
            pixels_of: gives its pixels, where they were read ahead.
        """
        self._check_memory(image)
        pixels = read_image(image.path) if pixels_of is None else pixels_of()
        result = self._answer(Sample(image.name, pixels), image)
        return None if result is None else Answer(image.name, pixels, result)

    def counted(self, answer: Answer) -> Answer:
        """Counts what was found in an image; of the first, says how exact an answer is."""
        if self.system is not None and self.num_done == 0:
            self._tell_agreement(Sample(answer.name, answer.pixels))
        self.last = answer.result
        self.num_done += 1
        self.num_masks += len(answer.result.segments)
        for name, share in answer.result.classes_found().items():
            self.shares[name] = self.shares.get(name, 0.0) + share
            self.counts[name] = self.counts.get(name, 0) + 1
        return answer

    @property
    def unnamed(self) -> Vocabulary:
        """What masks are called where no words are given."""
        return UNNAMED if self.shown is None else Vocabulary.of(self.shown.name)

    def _answer(self, sample: Sample, image: ImageFile) -> Segmentation | None:
        """Returns the answer for an image; None where its masks cannot be read."""
        if self.shown is not None:
            return self.shown.find(sample, min_score=self.min_score)
        if self.everything:
            answer = self.model.segment_everything(sample, resolution=self.resolution)
            return self._ranked(answer)
        if self.pointing is not None:
            return self._pointed_at(sample, image, self.pointing)
        if self.masks is not None:
            return self._named(sample, image, self.masks)
        return self.model.segment(
            sample,
            self.vocabulary,
            prompts=self.prompts,
            task=self.task,
            min_score=self.min_score,
            system=self.system,
            resolution=self.resolution,
        )

    def is_about_one_image(self, error: Exception) -> bool:
        """Whether the others may do better: the file is bad or huge, or others were answered."""
        if isinstance(error, SegtuneError):
            return is_bad_image(error) or (self.masks is None and self.num_done > 0)
        return isinstance(error, OSError) or is_bad_image(error)

    def _check_memory(self, image: ImageFile) -> None:
        """Raises `ImageError` where an image needs more memory than there is."""
        check_memory(
            self.model.backbone,
            image_size(image.path),
            task=self.task,
            num_words=0 if self.vocabulary is None else len(self.vocabulary),
            name=image.path,
        )

    def _tell_agreement(self, sample: Sample) -> None:
        """Prints how many labels an approximate system shares with the exact one."""
        assert self.system is not None
        twin = self.system.exact()
        if twin is None:
            return
        labels = [
            self.model.segment(
                sample,
                self.vocabulary,
                prompts=self.prompts,
                system=system,
                resolution=self.resolution,
            )
            for system in (self.system, twin)
        ]
        tqdm.write(
            f"approximate: {percent(labels_equal(*labels))} % of labels equal on the first image"
        )

    def _pointed_at(self, sample: Sample, image: ImageFile, pointing: Pointing) -> Segmentation:
        """Returns the masks that were asked for, best first, without empty ones."""
        ask = self.model.segment_points if pointing.kind == "points" else self.model.segment_boxes
        result = ask(
            sample,
            *pointing.arguments(pointing.at(image) or []),
            vocabulary=self.vocabulary,
            prompts=self.prompts,
            resolution=self.resolution,
        )
        return self._ranked(result)

    def _ranked(self, result: Segmentation) -> Segmentation:
        """Returns the segments that are sure enough, best first, without empty ones."""
        least = self.min_score or 0.0
        kept = [s for s in result.segments if s.mask.any() and s.score >= least]
        ranked = tuple(sorted(kept, key=lambda segment: -segment.score))
        return replace(result, semantic=painted(ranked, result.size), segments=ranked)

    def _named(self, sample: Sample, image: ImageFile, source: MaskSource) -> Segmentation | None:
        """Returns the masks of an image with names; None where they cannot be read."""
        size, alone = sample.pixels().shape[:2], self.num_images == 1
        try:
            masks = source.of(image.path, (size[0], size[1]), only_image=alone)
            masks, places = without_empty(masks, "skip" if self.skip_empty else "refuse")
        except (SegtuneError, OSError) as error:
            if alone:
                raise
            self.fail(f"{image.path.name}: {error}")
            return None
        result = self.model.classify_masks(
            sample, masks, self.vocabulary, prompts=self.prompts, top=3
        )
        rows = zip(places, result.segments, strict=True)
        kept = {place: s for place, s in rows if s.score >= (self.min_score or 0.0)}
        segments = tuple(kept.values())
        about = {**result.source, "masks": list(kept)}
        return replace(
            result, semantic=painted(segments, result.size), segments=segments, source=about
        )

    def fail(self, problem: str) -> None:
        """Reports one image that is left out."""
        self.num_failed += 1
        tqdm.write(one_line(f"segtune: {problem}"), file=sys.stderr)
