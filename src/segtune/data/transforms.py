"""Training transforms: image, semantic map and instance masks move together, all in torch.

Each transform is a frozen dataclass that is called with an `Example` and, since randomness is
passed in, a `torch.Generator`; those that are not random ignore it. `Pipeline` chains them,
`rpn_training` is the chain of RPN and ZegCLIP (rescale, crop, flip, distort, normalise, pad),
`maskformer_training` that of MaskFormer and the systems built on it (the same without normalising).
Changes of colour are in `data/photometric.py`.

Samples become examples by `from_sample` of `data/examples.py`, and batches by its `to_batch`.
Images are RGB 0..255 in float32 until `Normalize`.

    generator = torch.Generator().manual_seed(0)
    train = rpn_training(512)
    batch = to_batch([train(from_sample(dataset[i]), generator) for i in indices])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from segtune.data.examples import Example, cropped, mirrored, padded, resized
from segtune.data.photometric import PhotometricDistortion
from segtune.ops.normalisation import IMAGENET, Normalisation
from segtune.types import IGNORE


class Transform(Protocol):
    """Anything that turns an example into another one."""

    def __call__(self, example: Example, generator: torch.Generator) -> Example: ...


@dataclass(frozen=True)
class Pipeline:
    """Transforms one after the other."""

    steps: Sequence[Transform]

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        for step in self.steps:
            example = step(example, generator)
        return example


@dataclass(frozen=True)
class ResizeKeepRatio:
    """Resizes so that the short side is `short`, or less where the long side would exceed `long`.

    Attributes:
        short: pixels of the short side.
        long: most pixels of the long side; None for no limit.
        antialias: low-pass filter when shrinking; off is what the released CLIP recipes do.
    """

    short: int
    long: int | None = None
    antialias: bool = True

    def __call__(self, example: Example, generator: torch.Generator | None = None) -> Example:
        height, width = example.size
        scale = self.short / min(height, width)
        if self.long is not None:
            scale = min(scale, self.long / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return resized(example, size, antialias=self.antialias)


@dataclass(frozen=True)
class RandomScale:
    """Resizes as `ResizeKeepRatio` does, with both sides times one factor drawn from `ratio`.

    The defaults are RPN's: a short side of 256..1024.
    """

    short: int = 512
    long: int = 2048
    ratio: tuple[float, float] = (0.5, 2.0)
    antialias: bool = True

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        low, high = self.ratio
        factor = low + (high - low) * _uniform(generator)
        resize = ResizeKeepRatio(
            round(self.short * factor), round(self.long * factor), self.antialias
        )
        return resize(example, generator)


@dataclass(frozen=True)
class RandomShortSide:
    """Resizes as `ResizeKeepRatio` does, to a short side drawn from `shorts`, all equally likely.

    Attributes:
        shorts: pixels of the short side.
        long: most pixels of the long side.
    """

    shorts: tuple[int, ...]
    long: int | None = None

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        short = self.shorts[_randint(len(self.shorts), generator)]
        return ResizeKeepRatio(short, self.long)(example, generator)


@dataclass(frozen=True)
class RandomCrop:
    """Cuts out a window; sides that are smaller than the window stay as they are.

    A window in which one class fills more than `largest_share` of the labelled pixels is drawn
    again, up to `tries` times. Instances without a pixel in the window are dropped.

    Attributes:
        size: (height, width) of the window.
        largest_share: of one class; 1 accepts the first window.
        tries: windows to draw before the last one is taken as it is.
    """

    size: tuple[int, int]
    largest_share: float = 0.75
    tries: int = 10

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        height, width = (min(a, b) for a, b in zip(example.size, self.size, strict=True))
        for _ in range(self.tries):
            top = _randint(example.size[0] - height + 1, generator)
            left = _randint(example.size[1] - width + 1, generator)
            window = (slice(top, top + height), slice(left, left + width))
            if example.semantic is None or self._is_mixed(example.semantic[window]):
                break
        return cropped(example, window)

    def _is_mixed(self, semantic: torch.Tensor) -> bool:
        if self.largest_share >= 1:
            return True
        counts = torch.unique(semantic[semantic != IGNORE], return_counts=True)[1]
        return len(counts) > 1 and bool(counts.max() < self.largest_share * counts.sum())


@dataclass(frozen=True)
class RandomFlip:
    """Mirrors left and right with the given probability."""

    probability: float = 0.5

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        return mirrored(example) if _uniform(generator) < self.probability else example


@dataclass(frozen=True)
class Normalize:
    """Subtracts the mean and divides by the standard deviation, per channel, in 0..255."""

    normalisation: Normalisation = IMAGENET

    def __call__(self, example: Example, generator: torch.Generator | None = None) -> Example:
        return replace(example, image=self.normalisation.apply(example.image))


@dataclass(frozen=True)
class Pad:
    """Pads at the right and bottom up to `size`: `value` in the image, `IGNORE` in the map.

    After `Normalize` the default is the mean colour.
    """

    size: tuple[int, int]
    value: float = 0.0

    def __call__(self, example: Example, generator: torch.Generator | None = None) -> Example:
        return padded(example, self.size, value=self.value)


def rpn_training(size: int = 512) -> Pipeline:
    """Returns the training transforms of RPN and ZegCLIP (specification of RPN, section 5).

    Args:
        size: side of the square crop; the range of scales follows it.
    """
    return Pipeline(
        (
            RandomScale(size, 4 * size, antialias=False),
            RandomCrop((size, size)),
            RandomFlip(),
            PhotometricDistortion(),
            Normalize(),
            Pad((size, size)),
        )
    )


def maskformer_training(
    crop: int, *, shorts: tuple[int, ...], long: int | None = None, grey: float = 128.0
) -> Pipeline:
    """Returns the training transforms of MaskFormer (specification of OVSeg, section 1.3).

    Images stay in 0..255; every window is accepted, however much of it one class fills.

    Args:
        crop: side of the square view; smaller images are padded with `grey`.
        shorts, long: see `RandomShortSide`.
    """
    return Pipeline(
        (
            RandomShortSide(shorts, long),
            RandomCrop((crop, crop), largest_share=1),
            PhotometricDistortion(),
            RandomFlip(),
            Pad((crop, crop), grey),
        )
    )


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()


def _randint(stop: int, generator: torch.Generator) -> int:
    return int(torch.randint(stop, (), generator=generator).item())
