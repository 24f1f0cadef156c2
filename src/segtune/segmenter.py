"""A loaded model that turns images and words into segmentations; what `segtune.load` returns.

The way of one image: resize, cut into windows, `System.encode` and `System.predict` on all windows
at once, then `ops` decides every pixel at the original size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.base import FrozenModel
from segtune.backbones.hub import DEFAULT_MODEL, load_backbone
from segtune.errors import SegtuneError
from segtune.ops import postprocess
from segtune.ops.windows import merge_windows, windows
from segtune.prompts import Prompts
from segtune.systems import ZERO_SHOT, build_system
from segtune.systems.base import System, Words
from segtune.types import (
    Geometry,
    MaskPrediction,
    Resolution,
    Sample,
    Segmentation,
    Task,
    TemplateSet,
    Vocabulary,
)
from segtune.vocabulary.embeddings import embed_vocabulary
from segtune.vocabulary.parse import VocabularySpec, read_vocabulary
from segtune.vocabulary.templates import TemplateSpec, read_templates

WINDOWS_AT_ONCE = 8
"""Windows of one image that go through the model together."""
PANOPTIC_SCORE = 0.8
"""Smallest score of a panoptic segment, as in the published pipelines."""


class Segmenter:
    """A frozen model with its words and, where given, learned prompts.

    Attributes:
        backbone: the frozen model.
        templates: sentences around class names, used where prompts bring none of their own.
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
        templates: TemplateSpec = "single",
        resolution: Resolution | None = None,
    ) -> None:
        self.backbone = backbone
        self.templates = read_templates(templates)
        if resolution is None:
            resolution = Resolution.of(backbone.dense_size)
            if not backbone.uses_windows:
                resolution = replace(resolution, crop=None)
        self.resolution = resolution
        self._systems: dict[int, tuple[Prompts, System]] = {}
        self._zero_shot: System | None = None
        self._words: dict[tuple[Vocabulary, TemplateSet], Words] = {}

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
            min_score: of panoptic and instance segments; None takes 0.8 and 0.
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
            )
        return self._words[key]

    def system_for(self, prompts: Prompts | None) -> System:
        """Returns the system that uses these prompts, or the zero-training one."""
        if prompts is None:
            if self._zero_shot is None:
                self._zero_shot = build_system(ZERO_SHOT[self.backbone.kind], self.backbone)
            return self._zero_shot
        if id(prompts) not in self._systems:
            prompts.check_model(self.backbone.name, self.backbone.fingerprint)
            system = build_system(prompts.system, self.backbone, prompts.options)
            system.load_learned(prompts.tensors)
            self._systems[id(prompts)] = (prompts, system)  # holding them keeps the id valid
        return self._systems[id(prompts)][1]


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    device: str | None = None,
    templates: TemplateSpec = "single",
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


@torch.inference_mode()
def segment_pixels(
    system: System,
    image: np.ndarray,
    words: Words,
    vocabulary: Vocabulary,
    *,
    resolution: Resolution,
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    task: Task = "semantic",
    min_score: float | None = None,
) -> Segmentation:
    """Returns the segmentation of an (H, W, 3) uint8 image, by windows where they are needed."""
    original = (image.shape[0], image.shape[1])
    picture = resized(image, resolution.short_side).to(system.device)
    size = (picture.shape[1], picture.shape[2])
    crop = max(size) if resolution.crop is None else resolution.crop
    boxes = windows(size, crop, min(resolution.stride, crop))
    predictions = []
    for start in range(0, len(boxes), WINDOWS_AT_ONCE):
        part = boxes[start : start + WINDOWS_AT_ONCE]
        crops = [picture[:, y1:y2, x1:x2] for y1, x1, y2, x2 in part]
        batch = torch.stack([padded(crop, system.stride, system.padding) for crop in crops])
        input_size = (batch.shape[2], batch.shape[3])
        geometries = [
            Geometry(original, (crop.shape[1], crop.shape[2]), input_size) for crop in crops
        ]
        predictions += system.predict(system.encode(batch), words, geometries)
    options: dict[str, Any] = {
        "seen_ids": seen_ids,
        "seen_shift": seen_shift,
        "num_negatives": words.num_negatives,
    }
    has_masks = predictions[0].mask_logits is not None
    if has_masks and task != "semantic":
        return _masks(predictions[0], vocabulary, words, task, min_score)
    options["with_segments"] = task != "semantic"
    if len(boxes) == 1:
        result = postprocess.semantic(predictions[0], vocabulary, **options)
    else:
        result = merge_windows(predictions, boxes, vocabulary, original_size=original, **options)
    if task == "instance":
        kinds = [concept.kind for concept in vocabulary]
        things = tuple(s for s in result.segments if kinds[s.class_id] == "thing")
        return replace(result, semantic=None, segments=things)
    return result


def _masks(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    words: Words,
    task: Task,
    min_score: float | None,
) -> Segmentation:
    """Returns the instance or panoptic answer of a model that predicts masks."""
    if task == "panoptic":
        return postprocess.panoptic(
            prediction,
            vocabulary,
            min_score=PANOPTIC_SCORE if min_score is None else min_score,
            num_negatives=words.num_negatives,
        )
    return postprocess.instances(
        prediction,
        vocabulary,
        min_score=min_score or 0.0,
        things_only=True,
        num_negatives=words.num_negatives,
    )


def resized(image: np.ndarray, short_side: int) -> Tensor:
    """Returns (3, h, w) float32, 0..255, with the shorter side `short_side`; antialiased."""
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if size == (height, width):
        return tensor[0]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False, antialias=True)[0]


def padded(picture: Tensor, stride: int, value: Sequence[float]) -> Tensor:
    """Returns (3, H, W) with both sides rounded up to a multiple of `stride`, `value` at the end.

    Args:
        value: one number per channel.
    """
    bottom, right = (-side % stride for side in picture.shape[1:])
    if not (bottom or right):
        return picture
    height, width = picture.shape[1:]
    result = picture.new_tensor(value)[:, None, None].repeat(1, height + bottom, width + right)
    result[:, :height, :width] = picture
    return result


def _as_image(image: Path | str | np.ndarray) -> Path | np.ndarray:
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SegtuneError(
                f"image is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3) RGB"
            )
        return image
    return Path(image)
