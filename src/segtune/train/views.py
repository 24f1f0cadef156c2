"""What a fit looks at: augmented views of the labelled images, encoded once where that pays.

Everything upstream of the prompts is frozen, so a few-shot fit draws a fixed number of views per
image, encodes them before the first step, and then trains on the stored features alone. Large data
sets use fresh views in every step instead. Both depend on (seed, image, view number) only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from segtune.data.examples import Example, from_sample
from segtune.data.photometric import PhotometricDistortion
from segtune.data.transforms import (
    Normalize,
    Pad,
    Pipeline,
    RandomCrop,
    RandomFlip,
    RandomScale,
    Transform,
)
from segtune.errors import DataError
from segtune.systems.base import System
from segtune.types import Dataset, Features

PAD_VALUE = 118.0
"""Grey of padded pixels, 0..255: near zero once a model has normalised it."""


@dataclass(frozen=True)
class ViewConfig:
    """How views are made.

    Attributes:
        short_side: pixels of the shorter side before the random factor.
        crop: side of the square view in pixels.
        scale: range of the random factor.
        flip: mirror half of the views.
        distort: change colours (brightness, contrast, saturation, hue).
    """

    short_side: int
    crop: int
    scale: tuple[float, float] = (0.75, 1.5)
    flip: bool = True
    distort: bool = True


@dataclass(frozen=True)
class View:
    """One training view: pixels (3, c, c) float32 0..255 and labels (c, c) int64."""

    pixels: Tensor
    labels: Tensor


class Views:
    """Draws views of the samples of a dataset; label maps go through `relabel`."""

    def __init__(
        self,
        dataset: Dataset,
        config: ViewConfig,
        *,
        seed: int,
        relabel: Callable[[Tensor], Tensor] = lambda labels: labels,
    ) -> None:
        self.dataset, self.config, self.seed, self.relabel = dataset, config, seed, relabel
        steps: list[Transform] = [
            RandomScale(config.short_side, 4 * config.short_side, ratio=config.scale),
            RandomCrop((config.crop, config.crop)),
        ]
        steps += [RandomFlip()] if config.flip else []
        steps += [PhotometricDistortion()] if config.distort else []
        self._pipeline = Pipeline(
            (*steps, Normalize((PAD_VALUE,) * 3, (1.0,) * 3), Pad((config.crop, config.crop)))
        )
        self._read: dict[int, Example] = {}

    def view(self, index: int, number: int, *, keep: bool = False) -> View:
        """Returns view `number` of sample `index`; `keep` holds the read sample in memory."""
        example = self._read.get(index)
        if example is None:
            example = from_sample(self.dataset[index])
            if example.semantic is None:
                raise DataError(
                    f"sample {example.id!r} of {self.dataset.name} has no label map; fit needs "
                    "labelled images"
                )
            if keep:
                self._read[index] = example
        key = (self.seed * 1_000_003 + index) * 1_000_003 + number
        generator = torch.Generator().manual_seed(key % (2**63))
        example = self._pipeline(example, generator)
        assert example.semantic is not None
        return View(example.image + PAD_VALUE, self.relabel(example.semantic))


class EncodedViews:
    """A fixed pool of views per image whose frozen features are computed before training.

    Attributes:
        num_views: views per image.
    """

    def __init__(
        self,
        system: System,
        views: Views,
        *,
        num_views: int,
        at_once: int = 8,
        progress: bool = True,
    ) -> None:
        self.num_views, self.num_images = num_views, len(views.dataset)
        pairs = [(i, v) for i in range(self.num_images) for v in range(num_views)]
        self._features: list[dict[str, Tensor]] = []
        self._labels: list[Tensor] = []
        starts = range(0, len(pairs), at_once)
        bar = tqdm(starts, "encode images", disable=None if progress else True, delay=2)
        for start in bar:
            part = [views.view(i, v, keep=True) for i, v in pairs[start : start + at_once]]
            features = encode(system, part)
            self._grid, self._key = features.grid, features.key
            for row in range(len(part)):
                self._features.append({k: t[row].clone() for k, t in features.tensors.items()})
            self._labels += [view.labels for view in part]

    def batch(self, pairs: Sequence[tuple[int, int]]) -> tuple[Features, Tensor]:
        """Returns the features and labels (B, c, c) of (image, view) pairs."""
        rows = [i * self.num_views + v for i, v in pairs]
        names = self._features[0]
        tensors = {name: torch.stack([self._features[r][name] for r in rows]) for name in names}
        labels = torch.stack([self._labels[r] for r in rows])
        device = next(iter(tensors.values())).device
        return Features(tensors, self._grid, self._key), labels.to(device)


def encode(system: System, views: Sequence[View]) -> Features:
    """Returns the frozen features of a batch of views."""
    return system.encode(torch.stack([view.pixels for view in views]).to(system.device))


def labels_of(system: System, views: Sequence[View]) -> Tensor:
    """Returns the labels of a batch of views, (B, c, c) int64, on the device of the system."""
    return torch.stack([view.labels for view in views]).to(system.device)
