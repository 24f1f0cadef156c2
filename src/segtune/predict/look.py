"""What a model saw of one image, to be asked about any number of objects.

SEEM, SAM and SAM 2 answer points and boxes, each in its own folder of `backbones`; here is what
they share: the checks, the names, and the way from their masks to the pixels of the image.
Frame and shape letters are those of `backbones.prompting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.backbones import models_that_can
from segtune.backbones.prompting import Asked, Clicks, FindsEverything, Looked, ObjectMasks
from segtune.errors import SegtuneError
from segtune.ops.resize import to_original
from segtune.ops.segments import crop_segment
from segtune.predict.clicks import PointsLike, check_inside, read_boxes, read_clicks
from segtune.predict.prepared import PreparedModel, words_asked_for
from segtune.prompts import Prompts, read_prompts
from segtune.systems.base import NamesLooks, System
from segtune.types import IGNORE, Geometry, Resolution, Segment, Segmentation, Task, Vocabulary
from segtune.vocabulary.parse import VocabularySpec

UNNAMED = Vocabulary.of("object", name="unnamed")
"""What masks are called where no words are given."""
AT_ONCE = 16
"""Masks that are resized together."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a model saw of one image, from `Segmenter.look`; it changes no more.

    Attributes:
        model: that looked.
        pixels: (H, W, 3) uint8 RGB.
        looked: what it saw.
        resolution: at which it looked, unless the model has its own.

    Example:
        >>> import numpy
        >>> from segtune.backbones.seem.model import random_seem
        >>> from segtune.predict.segmenter import Segmenter
        >>> seen = Segmenter(random_seem()).look(numpy.zeros((64, 80, 3), dtype="uint8"))
        >>> [len(seen.points([(x, 20)]).segments) for x in (10, 40)], seen.size
        ([1, 1], (64, 80))
    """

    model: PreparedModel
    pixels: np.ndarray
    looked: Looked
    resolution: Resolution

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def points(
        self,
        points: PointsLike,
        labels: PointsLike | int | None = None,
        *,
        vocabulary: VocabularySpec | None = None,
        prompts: Prompts | Path | str | None = None,
    ) -> Segmentation:
        """Returns one scored segment per object that is clicked on; see `segment_points`."""
        return self._answer(read_clicks(points, labels), vocabulary, read_prompts(prompts))

    def boxes(
        self,
        boxes: PointsLike,
        *,
        vocabulary: VocabularySpec | None = None,
        prompts: Prompts | Path | str | None = None,
    ) -> Segmentation:
        """Returns one scored segment per box; see `segment_boxes`."""
        return self._answer(read_boxes(boxes), vocabulary, read_prompts(prompts))

    def words(
        self,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        task: Task = "semantic",
        min_score: float | None = None,
        system: System | str | None = None,
    ) -> Segmentation:
        """Returns what `Segmenter.segment` returns for the image; arguments as there.

        A SEEM does not look at the image again, unless the prompts want another size.
        """
        prompts = read_prompts(prompts)
        names = words_asked_for(vocabulary, prompts)
        if names is None:
            raise SegtuneError('no words to look for; type --vocab "road, car, tree"')
        resolution = self.resolution if prompts is None else prompts.resolution
        is_same = resolution.crop is None and resolution.short_side == self.resolution.short_side
        return self.model.answer(
            self.pixels,
            names,
            prompts=prompts,
            system=system,
            resolution=resolution,
            task=task,
            min_score=min_score,
            looked=self.looked if is_same else None,
        )

    @torch.inference_mode()
    def everything(self) -> Segmentation:
        """Returns one scored segment per mask that the model finds; see `segment_everything`."""
        if not isinstance(self.looked, FindsEverything):
            raise SegtuneError(
                f"{self.model.backbone.name} finds no masks by itself; choose a "
                f"{models_that_can('everything')} with --model, or give words"
            )
        masks = self.looked.everything()
        result = to_segmentation(masks, UNNAMED, self.looked.geometry)
        return replace(result, source=self._source("everything"))

    @torch.inference_mode()
    def _answer(
        self, asked: Asked, vocabulary: VocabularySpec | None, prompts: Prompts | None
    ) -> Segmentation:
        """Returns the answer to clicks or boxes."""
        names = words_asked_for(vocabulary, prompts)
        check_inside(asked, self.size)
        masks = self._masks(asked, names, prompts)
        result = to_segmentation(masks, names or UNNAMED, self.looked.geometry)
        return replace(result, source=self._source("promptable"))

    def _source(self, task: str) -> dict[str, Any]:
        """Returns what a result says about where it came from."""
        backbone = self.model.backbone
        return {
            "model": backbone.name,
            "fingerprint": backbone.fingerprint,
            "task": task,
            "short_side": self.resolution.short_side,
        }

    def _masks(
        self, asked: Asked, names: Vocabulary | None, prompts: Prompts | None
    ) -> ObjectMasks:
        """Returns the masks of clicks or boxes, with names where there are words."""
        ask = self.looked.points if isinstance(asked, Clicks) else self.looked.boxes
        if names is None:
            return ask(asked)  # type: ignore[arg-type]  # the one is for the other
        system = self.model.system_for(prompts)
        if not isinstance(system, NamesLooks):
            return ask(asked, self.model.mask_names(names, prompts))  # type: ignore[arg-type]
        masks = ask(asked)  # type: ignore[arg-type]
        words = self.model.words(names, self.model.templates_of(prompts))
        logits = system.name_logits(self.looked, masks.mask_logits, words)
        return replace(masks, class_logits=logits)


def to_segmentation(masks: ObjectMasks, vocabulary: Vocabulary, geometry: Geometry) -> Segmentation:
    """Returns one segment per object, in order, and the label map that they paint.

    A segment is named by its likeliest word. Its score is the quality of the mask (for SEEM the
    mean probability inside it) times, with words, the probability of the word among all words and
    negatives; the background is left out, because something was pointed at. Where masks overlap,
    the label map shows the better score. A mask without pixels has an empty box and the score 0.
    """
    size = geometry.original_size
    segments: list[Segment] = []
    for start in range(0, len(masks.mask_logits), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        logits = to_original(masks.mask_logits[part], geometry, last_step=masks.mask_resize)
        inside = logits > 0
        if masks.boxes_px is not None:
            inside &= _within(masks.boxes_px[part], size).to(inside.device)
        scores = (logits.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        if masks.qualities is not None:
            scores = masks.qualities[part].float() * inside.flatten(1).any(1)
        class_ids = torch.zeros(len(logits), dtype=torch.int64)
        if masks.class_logits is not None:
            probs = masks.class_logits[part, :-1].float().softmax(-1)
            best = probs[:, : len(vocabulary)].max(1)
            scores, class_ids = scores * best.values, best.indices
        rows = zip(inside.cpu().numpy(), class_ids.tolist(), scores.tolist(), strict=True)
        segments += [crop_segment(mask, class_id, score) for mask, class_id, score in rows]
    return Segmentation(size, vocabulary, painted(segments, size), tuple(segments))


def _within(boxes_px: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Returns (P, H, W) bool: the pixels that a box touches."""
    x1, y1, x2, y2 = torch.from_numpy(boxes_px).unbind(1)
    rows, columns = torch.arange(size[0]), torch.arange(size[1])
    in_rows = (rows + 1 > y1[:, None]) & (rows < y2[:, None])
    in_columns = (columns + 1 > x1[:, None]) & (columns < x2[:, None])
    return in_rows[:, :, None] & in_columns[:, None]


def painted(segments: Sequence[Segment], size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) int32 label map of segments, better scores on top, `IGNORE` elsewhere."""
    label_map = np.full(size, IGNORE, np.int32)
    for segment in sorted(segments, key=lambda segment: segment.score):
        x1, y1, x2, y2 = segment.box_px
        label_map[y1:y2, x1:x2][segment.mask] = segment.class_id
    return label_map
