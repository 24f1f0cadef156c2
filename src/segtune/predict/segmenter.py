"""A loaded model that turns images and words into segmentations; what `segtune.load` returns.

The way of one image: `images` reads it, `prepared` finds words and system, `pixels` resizes it,
cuts it into windows, asks `System.encode` and `System.predict`, and decides every pixel at the
original size. Points and boxes go through `look`, masks that want names through `naming`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from segtune.backbones import models_that_can
from segtune.backbones.base import Promptable
from segtune.backbones.hub import DEFAULT_MODEL, load_backbone
from segtune.data.masks_in import Empty, MasksLike
from segtune.errors import SegtuneError
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.predict.clicks import PointsLike
from segtune.predict.images import ImageLike, as_sample, each_of
from segtune.predict.look import Look
from segtune.predict.naming import classify, mask_prompts_of
from segtune.predict.prepared import PreparedModel, words_asked_for
from segtune.predict.similar import Shown, Support, show, show_class
from segtune.prompts import Prompts, read_prompts
from segtune.systems.base import System
from segtune.types import Dataset, Resolution, Segmentation, Task
from segtune.vocabulary.parse import VocabularySpec
from segtune.vocabulary.templates import TemplateSpec


class Segmenter(PreparedModel):
    """A frozen model with its words and, where given, learned prompts; threads may share it.

    An image is a path, a PIL image, a uint8 array ((H, W), (H, W, 3) RGB or (H, W, 4) RGBA), or a
    `Sample`. None is held: what shall answer several questions is held as a `look`.

    Attributes:
        backbone, templates, resolution: see `PreparedModel`.

    Example:
        >>> import numpy, segtune
        >>> model = segtune.load()
        >>> image = numpy.zeros((64, 80, 3), dtype="uint8")
        >>> model.segment(image, "red star, green grass").semantic.shape
        (64, 80)
        >>> len(model.segment([image, image[:32]], "red star, green grass"))
        2
    """

    @overload
    def segment(  # type: ignore[overload-overlap]  # a text is a path, not many letters
        self,
        image: ImageLike,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        task: Task = "semantic",
        min_score: float | None = None,
        system: System | str | None = None,
        resolution: Resolution | None = None,
        seen_ids: Sequence[int] = (),
        seen_shift: float = 0.1,
    ) -> Segmentation: ...

    @overload
    def segment(
        self,
        image: Iterable[ImageLike] | Dataset,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        task: Task = "semantic",
        min_score: float | None = None,
        system: System | str | None = None,
        resolution: Resolution | None = None,
        seen_ids: Sequence[int] = (),
        seen_shift: float = 0.1,
    ) -> list[Segmentation]: ...

    def segment(
        self,
        image: ImageLike | Iterable[ImageLike] | Dataset,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        task: Task = "semantic",
        min_score: float | None = None,
        system: System | str | None = None,
        resolution: Resolution | None = None,
        seen_ids: Sequence[int] = (),
        seen_shift: float = 0.1,
    ) -> Segmentation | list[Segmentation]:
        """Returns the segmentation of one image, or a list of them for many images.

        Args:
            image: one image, or a list, another iterable or a dataset of images, which are read
                one after the other.
            vocabulary: words, a built-in name, a file; None takes the words of the prompts.
            prompts: a prompt file; None segments without learned prompts.
            task: "semantic" labels pixels; "panoptic" adds one segment per stuff class and thing,
                without overlaps; "instance" gives scored things, some of them under several names;
                "regions" gives each of those once. Models that score pixels cut their label map
                into connected regions; models that predict masks rank those.
            min_score: of panoptic and instance segments; None takes 0.8 and 0 for models that
                predict masks, and keeps all segments of models that score pixels.
            system: answers in place of the system of the prompts, with its own learned numbers; a
                name in `segtune.systems.SYSTEMS` stands for one as it comes.
            resolution: overrides that of the prompts and of the model.
            seen_ids: class ids whose probability is lowered by `seen_shift` (zero-shot protocols).

        Raises:
            SegtuneError, FileNotFoundError: bad image, words or prompts.
        """
        prompts = read_prompts(prompts)
        names = words_asked_for(vocabulary, prompts)
        if names is None:
            raise SegtuneError('no words to look for; type --vocab "road, car, tree"')
        images, are_many = each_of(image)
        results = [
            self.answer(
                as_sample(each).pixels(),
                names,
                prompts=prompts,
                system=system,
                resolution=resolution,
                task=task,
                min_score=min_score,
                seen_ids=seen_ids,
                seen_shift=seen_shift,
            )
            for each in images
        ]
        return results if are_many else results[0]

    def look(self, image: ImageLike, *, resolution: Resolution | None = None) -> Look:
        """Returns what the model sees of an image, to be asked with many clicks, boxes or words.

        Args:
            resolution: its short side overrides that of the model; SAM has its own size.

        Raises:
            SegtuneError: the model takes no points (CLIP, SAM 3).
        """
        backbone = self.backbone
        if not isinstance(backbone, Promptable):
            raise SegtuneError(
                f"{backbone.name} takes no points or boxes; choose a {models_that_can('points')} "
                "with --model"
            )
        pixels = as_sample(image).pixels()
        resolution = replace(resolution or self.resolution, crop=None)
        return Look(self, pixels, backbone.look(pixels, resolution.short_side), resolution)

    def segment_points(
        self,
        image: ImageLike,
        points: PointsLike,
        labels: PointsLike | int | None = None,
        *,
        vocabulary: VocabularySpec | None = None,
        prompts: Prompts | Path | str | None = None,
        resolution: Resolution | None = None,
    ) -> Segmentation:
        """Returns one scored segment per object that is clicked on, in the order of the objects.

        Segments may overlap; the label map shows the better score. Every call looks at the image
        anew; for more clicks on one image, hold its `look`.

        Args:
            points: (P, 2), one click (x, y) on each of P objects; or P lists of (T, 2) clicks. In
                pixels of the original image; (0.5, 0.5) is the centre of the first one.
            labels: the same without the last axis: 1 on the object, 0 beside it; None means 1.
            vocabulary: names every mask by its likeliest word; None takes the words of `prompts`,
                or calls all of them "object".
            prompts: learned class embeddings name the masks; learned queries are not asked.
            resolution: its short side overrides that of the prompts and of the model; SAM has its
                own size.

        Raises:
            SegtuneError: a point is outside of the image, an object has no positive point, or the
                model takes no points (CLIP, X-Decoder, SAM 3) or no words (SAM, SAM 2).

        Example:
            >>> import numpy
            >>> from segtune.backbones.seem.model import random_seem
            >>> image = numpy.zeros((64, 80, 3), dtype="uint8")
            >>> result = Segmenter(random_seem()).segment_points(image, [(40, 20), (9, 50)])
            >>> len(result.segments), result.semantic.shape
            (2, (64, 80))
        """
        prompts = read_prompts(prompts)
        seen = self.look(image, resolution=resolution or self.resolution_of(prompts))
        return seen.points(points, labels, vocabulary=vocabulary, prompts=prompts)

    def segment_boxes(
        self,
        image: ImageLike,
        boxes: PointsLike,
        *,
        vocabulary: VocabularySpec | None = None,
        prompts: Prompts | Path | str | None = None,
        resolution: Resolution | None = None,
    ) -> Segmentation:
        """Returns one scored segment per box; all else as in `segment_points`.

        Args:
            boxes: (P, 4) xyxy in pixels of the original image, right and bottom exclusive.
        """
        prompts = read_prompts(prompts)
        seen = self.look(image, resolution=resolution or self.resolution_of(prompts))
        return seen.boxes(boxes, vocabulary=vocabulary, prompts=prompts)

    def segment_everything(
        self, image: ImageLike, *, resolution: Resolution | None = None
    ) -> Segmentation:
        """Returns scored masks of everything in an image, best first, without names.

        A grid of points is asked, and of the sure masks near copies go; SAM and Uni-OVSeg do it,
        each with its official thresholds.

        Raises:
            SegtuneError: the model takes no points, or finds no masks by itself.
        """
        return self.look(image, resolution=resolution).everything()

    def show(self, *supports: Support, resolution: Resolution | None = None) -> Shown:
        """Returns what the model keeps of the objects in support images, to find more of them.

        Experimental; the model is one that was trained with SegPrompt.

        Args:
            supports: pairs of an image and masks in it, as `classify_masks` takes them, each around
                one object; all of them are one kind.
            resolution: its short side overrides that of the model.

        Raises:
            SegtuneError: the model finds nothing by example, or a mask is empty or does not fit.

        Example:
            >>> import numpy, segtune
            >>> image, mask = numpy.zeros((64, 80, 3), "uint8"), numpy.zeros((1, 64, 80), bool)
            >>> image[10:30, 10:30], mask[:, 10:30, 10:30] = (250, 40, 40), True
            >>> shown = segtune.load("segprompt-tiny").show((image, mask))
            >>> shown.find(image[:, ::-1].copy()).size
            (64, 80)
        """
        return show(self, supports, resolution or self.resolution)

    def show_class(self, name: str, *, resolution: Resolution | None = None) -> Shown:
        """Returns the same of a class of the training, by its cached prompt; experimental.

        Raises:
            SegtuneError: the model has no prompt for the class; the nearest ones are named.
        """
        return show_class(self, name, resolution or self.resolution)

    def classify_masks(
        self,
        image: ImageLike,
        masks: MasksLike,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        regions: RegionConfig = OVSEG,
        empty: Empty = "refuse",
        top: int = 5,
    ) -> Segmentation:
        """Returns one named, scored segment per mask, in the order of the masks.

        The model is a CLIP, or a two-stage model or Uni-OVSeg, whose CLIP is taken. Segments may
        overlap; the label map shows the better score.

        Args:
            masks: (N, H, W) bool on the upright image, COCO RLE, or a path; see `read_masks`.
            vocabulary: None takes the words of the prompts.
            prompts: mask prompts (`ovseg`); None takes those that came with the weights, if any.
            regions: how masks are cut out for a CLIP ViT; at the size that it looks at.
            empty: refuse masks without a pixel, or skip them; `source["masks"]` counts the others.
            top: classes per segment; all but the best are its `alternatives`.

        Raises:
            SegtuneError: a mask does not fit the image, is empty, or the model has no CLIP.

        Example:
            >>> import numpy, segtune
            >>> model = segtune.load("clip-vit-tiny")
            >>> image, masks = numpy.zeros((64, 80, 3), "uint8"), numpy.ones((1, 64, 80), bool)
            >>> result = model.classify_masks(image, masks, "red star, green grass")
            >>> len(result.segments), len(result.segments[0].alternatives)
            (1, 1)
        """
        prompts = read_prompts(prompts)
        names = words_asked_for(vocabulary, prompts)
        if names is None:
            raise SegtuneError('no words to name masks by; type --vocab "road, car, tree"')
        backbone = self.backbone
        mask_prompts = mask_prompts_of(backbone, prompts)
        result = classify(
            backbone,
            as_sample(image),
            masks,
            names,
            self.words(names, self.templates_of(prompts)),
            mask_prompts=mask_prompts,
            config=regions,
            empty=empty,
            top=top,
        )
        source = {"model": backbone.name, "fingerprint": backbone.fingerprint, **result.source}
        return replace(result, source=source)


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    device: str | None = None,
    templates: TemplateSpec | None = None,
    tokenizer: str | Path | None = None,
    resolution: Resolution | None = None,
) -> Segmenter:
    """Returns a ready model by name or path; see `segtune.backbones.hub.load_backbone`."""
    backbone = load_backbone(model, tokenizer=tokenizer, device=device)
    return Segmenter(backbone, templates=templates, resolution=resolution)
