"""Samples as tensors: what training transforms work on, and batches of them.

The functions here move image, semantic map and instance masks together and draw nothing at random;
`data/transforms.py` decides when and how much. Masks are resized by nearest neighbour at pixel
centres, images bilinearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from segtune.types import IGNORE, Sample


@dataclass(frozen=True)
class Example:
    """A sample as tensors, on its way through the transforms.

    Attributes:
        id: of the sample.
        image: (3, H, W) float32 RGB, 0..255 until it is normalised.
        semantic: (H, W) int64 class ids with `IGNORE`, or None.
        masks: (N, H, W) bool, one per instance.
        class_ids: (N,) int64, the class of each instance.
        is_crowd: (N,) bool.
        valid_size: (height, width) of the part at the top left that is not padding.
    """

    id: str
    image: torch.Tensor
    semantic: torch.Tensor | None
    masks: torch.Tensor
    class_ids: torch.Tensor
    is_crowd: torch.Tensor
    valid_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image tensor, padding included."""
        return (self.image.shape[-2], self.image.shape[-1])


def from_sample(sample: Sample) -> Example:
    """Returns the tensors of a sample, reading its image file where needed."""
    pixels = torch.from_numpy(sample.pixels()).permute(2, 0, 1).float().contiguous()
    height, width = pixels.shape[-2:]
    masks = [torch.from_numpy(instance.mask) for instance in sample.instances]
    return Example(
        sample.id,
        pixels,
        None if sample.semantic is None else torch.from_numpy(sample.semantic).long(),
        torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.bool),
        torch.tensor([instance.class_id for instance in sample.instances], dtype=torch.long),
        torch.tensor([instance.is_crowd for instance in sample.instances], dtype=torch.bool),
        (height, width),
    )


def resized(example: Example, size: tuple[int, int], *, antialias: bool = True) -> Example:
    """Returns the example at (height, width) `size`; it must not be padded yet."""
    if size == example.size:
        return example
    image = functional.interpolate(
        example.image[None], size, mode="bilinear", align_corners=False, antialias=antialias
    )[0]
    semantic = example.semantic
    return replace(
        example,
        image=image.clamp(0, 255),
        semantic=None if semantic is None else _nearest(semantic[None], size)[0],
        masks=_nearest(example.masks, size),
        valid_size=size,
    )


def cropped(example: Example, window: tuple[slice, slice]) -> Example:
    """Returns the part of the example in a (rows, columns) window, without unseen instances."""
    rows, columns = window
    masks = example.masks[:, rows, columns]
    seen = masks.flatten(1).any(1)
    return replace(
        example,
        image=example.image[:, rows, columns],
        semantic=None if example.semantic is None else example.semantic[rows, columns],
        masks=masks[seen],
        class_ids=example.class_ids[seen],
        is_crowd=example.is_crowd[seen],
        valid_size=(rows.stop - rows.start, columns.stop - columns.start),
    )


def padded(example: Example, size: tuple[int, int], *, value: float = 0.0) -> Example:
    """Returns the example padded at the right and bottom up to (height, width) `size`.

    With `value` in the image, `IGNORE` in the semantic map and False in masks.
    """
    bottom, right = (max(0, a - b) for a, b in zip(size, example.size, strict=True))
    semantic, border = example.semantic, (0, right, 0, bottom)
    return replace(
        example,
        image=functional.pad(example.image, border, value=value),
        semantic=None if semantic is None else functional.pad(semantic, border, value=IGNORE),
        masks=functional.pad(example.masks, border),
    )


def mirrored(example: Example) -> Example:
    """Returns the unpadded example with left and right exchanged."""
    return replace(
        example,
        image=example.image.flip(-1),
        semantic=None if example.semantic is None else example.semantic.flip(-1),
        masks=example.masks.flip(-1),
    )


@dataclass(frozen=True)
class Batch:
    """Examples of equal size together.

    Attributes:
        ids: of the samples.
        image: (B, 3, H, W) float32.
        semantic: (B, H, W) int64 class ids with `IGNORE`, or None where an example has none.
        masks: B tensors (N, H, W) bool.
        class_ids: B tensors (N,) int64.
        is_crowd: B tensors (N,) bool.
        valid_sizes: (height, width) of each image without its padding.
    """

    ids: tuple[str, ...]
    image: torch.Tensor
    semantic: torch.Tensor | None
    masks: tuple[torch.Tensor, ...]
    class_ids: tuple[torch.Tensor, ...]
    is_crowd: tuple[torch.Tensor, ...]
    valid_sizes: tuple[tuple[int, int], ...]


def to_batch(examples: Sequence[Example]) -> Batch:
    """Returns the examples as one batch, padded at the right and bottom to the largest of them."""
    heights, widths = zip(*(example.size for example in examples), strict=True)
    equal = [padded(example, (max(heights), max(widths))) for example in examples]
    semantic = [example.semantic for example in equal if example.semantic is not None]
    return Batch(
        tuple(example.id for example in equal),
        torch.stack([example.image for example in equal]),
        torch.stack(semantic) if len(semantic) == len(equal) else None,
        tuple(example.masks for example in equal),
        tuple(example.class_ids for example in equal),
        tuple(example.is_crowd for example in equal),
        tuple(example.valid_size for example in equal),
    )


def _nearest(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) of any type -> (N, *size), by the pixel under each new centre."""
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long().clamp(max=old - 1)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]
