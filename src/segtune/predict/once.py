"""Answers for one image in one call, by a model that is loaded for it alone."""

from __future__ import annotations

from pathlib import Path

from segtune.backbones.hub import DEFAULT_MODEL
from segtune.data.masks_in import MasksLike
from segtune.predict.images import ImageLike
from segtune.predict.naming import DEFAULT_CLIP
from segtune.predict.segmenter import load
from segtune.prompts import Prompts
from segtune.types import Segmentation, Task
from segtune.vocabulary.parse import VocabularySpec


def segment(
    image: ImageLike,
    vocabulary: VocabularySpec,
    *,
    model: str | Path = DEFAULT_MODEL,
    task: Task = "semantic",
) -> Segmentation:
    """Returns the segmentation of one image by a model that is loaded for it alone.

    For more than one image, `load` the model once and use its `segment`.
    """
    return load(model).segment(image, vocabulary, task=task)


def classify_masks(
    image: ImageLike,
    masks: MasksLike,
    vocabulary: VocabularySpec | None = None,
    *,
    prompts: Prompts | Path | str | None = None,
    model: str | Path = DEFAULT_CLIP,
) -> Segmentation:
    """Returns names for the masks of one image, by a model that is loaded for it alone.

    For more than one image, `segtune.load` the model once and use its `classify_masks`, whose
    arguments these are.
    """
    return load(model).classify_masks(image, masks, vocabulary, prompts=prompts)
