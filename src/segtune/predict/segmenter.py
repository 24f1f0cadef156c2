"""A loaded model that turns images and words into segmentations; what `segtune.load` returns.

The way of one image: resize, cut into windows, `System.encode` and `System.predict` on all windows
at once, then `ops` decides every pixel at the original size (`inference`). Points and boxes go
through `pointing`, masks that want names through `classify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.base import FrozenModel, prompt_fingerprint
from segtune.backbones.hub import DEFAULT_MODEL, load_backbone
from segtune.data.formats import read_vocabulary
from segtune.data.masks_in import Empty, MasksLike
from segtune.errors import SegtuneError
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.predict.clicks import Asked, PointsLike, check_inside, read_boxes, read_clicks
from segtune.predict.look import KINDS, UNNAMED, Looked, ask_sam, ask_seem, look, to_segmentation
from segtune.predict.naming import classify, clip_of, mask_prompts_of
from segtune.predict.pixels import segment_pixels
from segtune.prompts import Prompts
from segtune.systems import build_system, zero_shot_system
from segtune.systems.base import System, Words
from segtune.types import (
    Resolution,
    Sample,
    Segmentation,
    Task,
    TemplateSet,
    Vocabulary,
)
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.parse import VocabularySpec
from segtune.vocabulary.templates import TemplateSpec, read_templates


class Segmenter:
    """A frozen model with its words and, where given, learned prompts.

    Attributes:
        backbone: the frozen model.
        templates: sentences around class names, used where prompts bring none of their own. By
            default those that the model was published with, else "single".
        resolution: used where prompts bring none of their own.

    Example:
        >>> import numpy, segtune
        >>> model = segtune.load()
        >>> image = numpy.zeros((64, 80, 3), dtype="uint8")
        >>> model.segment(image, "red star, green grass").semantic.shape
        (64, 80)
    """

    def __init__(
        self,
        backbone: FrozenModel,
        *,
        templates: TemplateSpec | None = None,
        resolution: Resolution | None = None,
    ) -> None:
        self.backbone = backbone
        published = getattr(backbone, "templates", "single")
        self.templates = read_templates(published if templates is None else templates)
        if resolution is None:
            resolution = Resolution.of(backbone.dense_size)
            if not backbone.uses_windows:
                resolution = replace(resolution, crop=None)
        self.resolution = resolution
        self._systems: dict[int, tuple[Prompts, System]] = {}
        self._zero_shot: System | None = None
        self._words: dict[tuple[Vocabulary, TemplateSet], Words] = {}
        self._looked: tuple[object, Looked] | None = None  # the last image that was pointed at

    def segment(
        self,
        image: Path | str | np.ndarray | Sample,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        task: Task = "semantic",
        min_score: float | None = None,
        system: System | None = None,
        resolution: Resolution | None = None,
        seen_ids: Sequence[int] = (),
        seen_shift: float = 0.1,
    ) -> Segmentation:
        """Returns the segmentation of one image.

        Args:
            image: path, (H, W, 3) uint8 RGB, or a sample.
            vocabulary: words, a built-in name, a file; None takes the words of the prompts.
            prompts: a prompt file; None segments without learned prompts.
            task: "semantic" labels pixels; "panoptic" adds one segment per stuff class and thing,
                without overlaps; "instance" gives scored things. Models that score pixels cut
                their label map into connected regions; models that predict masks rank those.
            min_score: of panoptic and instance segments; None takes 0.8 and 0 for models that
                predict masks, and keeps all segments of models that score pixels.
            system: answers in place of the system of the prompts, with its own learned numbers.
            resolution: overrides that of the prompts and of the model.
            seen_ids: class ids whose probability is lowered by `seen_shift` (zero-shot protocols).

        Raises:
            SegtuneError, FileNotFoundError: bad image, words or prompts.
        """
        if isinstance(prompts, str | Path):
            prompts = Prompts.load(prompts)
        words_source = read_vocabulary(vocabulary) if vocabulary is not None else None
        if words_source is None:
            if prompts is None:
                raise SegtuneError('no words to look for; type --vocab "road, car, tree"')
            words_source = prompts.vocabulary
        sample = image if isinstance(image, Sample) else Sample("image", _as_image(image))
        system = system or self.system_for(prompts)
        words = self.words(words_source, prompts.templates if prompts else self.templates)
        if resolution is None:
            resolution = prompts.resolution if prompts else self.resolution
        result = segment_pixels(
            system,
            sample.pixels(),
            words,
            words_source,
            resolution=resolution,
            seen_ids=seen_ids,
            seen_shift=seen_shift,
            task=task,
            min_score=min_score,
        )
        source = {
            "model": self.backbone.name,
            "fingerprint": self.backbone.fingerprint,
            "system": system.name,
            "task": task,
            "resolution": asdict(resolution),
        }
        return replace(result, source=source)

    def segment_points(
        self,
        image: Path | str | np.ndarray | Sample,
        points: PointsLike,
        labels: PointsLike | int | None = None,
        *,
        vocabulary: VocabularySpec | None = None,
        prompts: Prompts | Path | str | None = None,
        resolution: Resolution | None = None,
    ) -> Segmentation:
        """Returns one scored segment per object that is clicked on, in the order of the objects.

        Segments may overlap; the label map shows the better score. More clicks on the last image
        are cheap: what the model saw of it is kept.

        Args:
            points: (P, 2), one click (x, y) on each of P objects; or P lists of (T, 2) clicks. In
                pixels of the original image; (0.5, 0.5) is the centre of the first one.
            labels: the same without the last axis: 1 on the object, 0 beside it; None means 1.
            vocabulary: names every mask by its likeliest word; None takes the words of `prompts`,
                or calls all of them "object".
            prompts: learned class embeddings name the masks; learned queries are not asked.
            resolution: its short side overrides that of the model; SAM has its own size.

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
        return self._ask(image, read_clicks(points, labels), vocabulary, prompts, resolution)

    def segment_boxes(
        self,
        image: Path | str | np.ndarray | Sample,
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
        return self._ask(image, read_boxes(boxes), vocabulary, prompts, resolution)

    @torch.inference_mode()
    def _ask(
        self,
        image: Path | str | np.ndarray | Sample,
        asked: Asked,
        vocabulary: VocabularySpec | None,
        prompts: Prompts | Path | str | None,
        resolution: Resolution | None,
    ) -> Segmentation:
        """Returns the answer to clicks or boxes."""
        backbone: Any = self.backbone
        if backbone.kind not in KINDS:
            raise SegtuneError(
                f"{backbone.name} takes no points or boxes; choose a SEEM, SAM or SAM 2 with "
                "--model"
            )
        if isinstance(prompts, str | Path):
            prompts = Prompts.load(prompts)
        names = read_vocabulary(vocabulary) if vocabulary is not None else None
        if names is None and prompts is not None:
            names = prompts.vocabulary
        if names is not None and backbone.kind == "sam":
            raise SegtuneError(f"{backbone.name} reads no words to name masks by; leave them out")
        pixels = (
            image if isinstance(image, Sample) else Sample("image", _as_image(image))
        ).pixels()
        check_inside(asked, (pixels.shape[0], pixels.shape[1]))
        if resolution is None:
            resolution = prompts.resolution if prompts else self.resolution
        looked = self._look(pixels, resolution.short_side)
        masks = None
        if len(asked) and backbone.kind == "sam":
            masks = ask_sam(backbone, looked, asked)
        elif len(asked):
            text = None
            if names is not None:
                system: Any = self.system_for(prompts)
                words = self.words(names, prompts.templates if prompts else self.templates)
                text = system.class_embeds(words)
            masks = ask_seem(backbone, looked, asked, text)
        result = to_segmentation(
            masks,
            names or UNNAMED,
            looked.geometry,
            mask_resize=getattr(backbone, "mask_resize", "bilinear"),
        )
        source = {
            "model": backbone.name,
            "fingerprint": backbone.fingerprint,
            "task": "promptable",
            "short_side": resolution.short_side,
        }
        return replace(result, source=source)

    def classify_masks(
        self,
        image: Path | str | np.ndarray | Sample,
        masks: MasksLike,
        vocabulary: VocabularySpec | None = None,
        *,
        prompts: Prompts | Path | str | None = None,
        regions: RegionConfig = OVSEG,
        empty: Empty = "refuse",
        top: int = 5,
    ) -> Segmentation:
        """Returns one named, scored segment per mask, in the order of the masks.

        The model is a CLIP, or a two-stage model, whose CLIP is taken. Segments may overlap; the
        label map shows the better score.

        Args:
            masks: (N, H, W) bool on the upright image, COCO RLE, or a path; see `read_masks`.
            vocabulary: None takes the words of the prompts.
            prompts: mask prompts (`ovseg`); None takes those that came with the weights, if any.
            regions: how masks are cut out; at the size that the CLIP looks at.
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
        if isinstance(prompts, str | Path):
            prompts = Prompts.load(prompts)
        if vocabulary is not None:
            names = read_vocabulary(vocabulary)
        elif prompts is not None:
            names = prompts.vocabulary
        else:
            raise SegtuneError('no words to name masks by; type --vocab "road, car, tree"')
        clip = clip_of(self.backbone)
        result = classify(
            clip,
            image if isinstance(image, Sample) else Sample("image", _as_image(image)),
            masks,
            names,
            self.words(names, prompts.templates if prompts else self.templates),
            mask_prompts=mask_prompts_of(self.backbone, prompts),
            config=replace(regions, size=clip.image_size),
            empty=empty,
            top=top,
        )
        backbone = self.backbone
        source = {"model": backbone.name, "fingerprint": backbone.fingerprint, **result.source}
        return replace(result, source=source)

    def _look(self, pixels: np.ndarray, short_side: int) -> Looked:
        """Returns what the model sees of an image; the last one is kept."""
        content = np.ascontiguousarray(pixels).tobytes()
        key = (hashlib.blake2b(content).digest(), pixels.shape, short_side)
        if self._looked is None or self._looked[0] != key:
            self._looked = (key, look(self.backbone, pixels, short_side))
        return self._looked[1]

    def words(self, vocabulary: Vocabulary, templates: TemplateSet | None = None) -> Words:
        """Returns the class embeddings of a vocabulary; kept in memory and on disk."""
        key = (vocabulary, templates or self.templates)
        if key not in self._words:
            embeds = embed_vocabulary(self.backbone, *key)
            background: Tensor | None = None
            if self.backbone.background_word:
                nothing = Vocabulary.of(self.backbone.background_word)
                background = embed_vocabulary(self.backbone, nothing, key[1])[0]
            self._words[key] = Words(
                embeds,
                num_negatives=len(vocabulary.negatives),
                names=(*vocabulary.names, *vocabulary.negatives),
                background=background,
                vocabulary=vocabulary,
            )
        return self._words[key]

    def system_for(self, prompts: Prompts | None) -> System:
        """Returns the system that uses these prompts, or the zero-training one."""
        if prompts is None:
            if self._zero_shot is None:
                self._zero_shot = build_system(zero_shot_system(self.backbone.kind), self.backbone)
            return self._zero_shot
        if id(prompts) not in self._systems:
            prompts.check_model(self.backbone.name, prompt_fingerprint(self.backbone))
            system = build_system(prompts.system, self.backbone, prompts.options)
            system.load_learned(prompts.tensors)
            self._systems[id(prompts)] = (prompts, system)  # holding them keeps the id valid
        return self._systems[id(prompts)][1]


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


def segment(
    image: Path | str | np.ndarray,
    vocabulary: VocabularySpec,
    *,
    model: str | Path = DEFAULT_MODEL,
    task: Task = "semantic",
) -> Segmentation:
    """Returns the segmentation of one image by a model that is loaded for it alone.

    For more than one image, `load` the model once and use its `segment`.
    """
    return load(model).segment(image, vocabulary, task=task)


def _as_image(image: Path | str | np.ndarray) -> Path | np.ndarray:
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SegtuneError(
                f"image is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3) RGB"
            )
        return image
    return Path(image)
