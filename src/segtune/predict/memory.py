"""How much memory an answer takes, said before it is tried.

Many systems end a process that takes too much, so what does not fit is refused beforehand. Measured
with the bundled models on images of 0.1, 3 and 12 megapixels with 4 and 847 words (peak of the
process, above that of the smallest image), in bytes per pixel of the original image:

| | 4 words | 847 words |
|---|---|---|
| masks summed at the original image (SEEM, 31 queries), semantic, instance | 305, 276 | 305 |
| the same, panoptic | 32 | |
| scores of pixels (CLIP) and masks summed before (two stages) | 30 to 40 | 135 |

so that words count up to the classes that are resized at a time, and masks by two floats each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segtune.errors import ImageError
from segtune.storage.images import image_size
from segtune.storage.memory import free_memory
from segtune.types import Sample, Task

PER_PIXEL, PER_CLASS, PER_MASK = 60, 5, 8
"""Bytes of a pixel: of the image and its labels, of a class that is resized, of a mask."""
CLASSES_AT_A_TIME = 16
KEPT_BY_PANOPTIC = 12
"""Masks that a panoptic answer usually brings to the original size."""


def bytes_needed(model: Any, size: tuple[int, int], *, task: Task, num_words: int) -> int:
    """Returns what an answer takes beside the model, roughly and rather too much.

    Args:
        model: the frozen one.
        size: (H, W) of the original image.
        task: that is asked for.
        num_words: K.
    """
    masks = _masks_of(model)
    if task == "panoptic":
        masks = min(masks, KEPT_BY_PANOPTIC)
    classes = 0 if masks else min(num_words, CLASSES_AT_A_TIME)
    return size[0] * size[1] * (PER_PIXEL + PER_CLASS * classes + PER_MASK * masks)


def check_memory(
    model: Any, size: tuple[int, int], *, task: Task, num_words: int, name: Path | str
) -> None:
    """Raises where an image needs more memory than there is.

    Raises:
        ImageError: it does; a run over many images goes on with the next.
    """
    refuse_if_too_large(
        bytes_needed(model, size, task=task, num_words=num_words), size, what=task, name=name
    )


def refuse_if_too_large(needed: int, size: tuple[int, int], *, what: str, name: Path | str) -> None:
    """Raises ImageError where `needed` bytes are not free; `what` is what needs them."""
    free = free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"{name} has {size[1]}x{size[0]} pixels, for which {what} answers need about "
            f"{needed / 2**30:.1f} GB of memory, and {free / 2**30:.1f} are free; make it smaller"
        )


def size_of(sample: Sample) -> tuple[int, int]:
    """Returns (H, W) of the image of a sample; of a file, its header is read."""
    if isinstance(sample.image, Path):
        return image_size(sample.image)
    height, width = sample.image.shape[:2]
    return height, width


def _masks_of(model: Any) -> int:
    """Returns the masks that a model brings to the size of the original image; 0 where none.

    A model states it as `masks_at_original`, or has as many queries in its settings.
    """
    stated = getattr(model, "masks_at_original", None)
    config = getattr(model, "config", None)
    return int(getattr(config, "num_queries", 0) if stated is None else stated)
