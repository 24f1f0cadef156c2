"""What a fit looks at: augmented views of the labelled images, encoded once where that pays.

Everything upstream of the prompts is frozen, so a few-shot fit draws a fixed number of views per
image, encodes them before the first step, and then trains on the stored features alone. Large data
sets use fresh views in every step instead. Both depend on (seed, image, view number) only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from segtune.data.examples import Example, from_sample
from segtune.data.photometric import PhotometricDistortion
from segtune.data.regions import objects_for
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
from segtune.fewshot.feature_cache import FeatureCache
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.normalisation import Normalisation
from segtune.systems.base import System
from segtune.types import IGNORE, Dataset, Features, Task

PAD_VALUE = 118.0
"""Grey of padded pixels, 0..255: near zero once a model has normalised it."""
GRID = "grid"
"""Name under which the grid of the features is cached."""


@dataclass(frozen=True)
class ViewConfig:
    """How views are made.

    Attributes:
        short_side: pixels of the shorter side before the random factor.
        crop: side of the square view in pixels; None shows the whole image.
        scale: range of the random factor.
        flip: mirror half of the views.
        distort: change colours (brightness, contrast, saturation, hue).
    """

    short_side: int
    crop: int | None
    scale: tuple[float, float] = (0.75, 1.5)
    flip: bool = True
    distort: bool = True


@dataclass(frozen=True)
class View:
    """One training view.

    Attributes:
        pixels: (3, h, w) float32, 0..255.
        labels: (h, w) int64.
        masks: the annotated objects, masks (N, h, w) bool.
    """

    pixels: Tensor
    labels: Tensor
    masks: MaskTargets


class Views:
    """Draws views of the samples of a dataset; label maps go through `relabel`.

    The objects of a view are those that `task` is about (`data.regions.objects_for`). A sample
    needs a label map for the semantic task only.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: ViewConfig,
        *,
        seed: int,
        task: Task = "semantic",
        relabel: Callable[[Tensor], Tensor] = lambda labels: labels,
    ) -> None:
        self.dataset, self.config, self.seed, self.relabel = dataset, config, seed, relabel
        self.task: Task = task
        steps: list[Transform] = [
            RandomScale(config.short_side, 4 * config.short_side, ratio=config.scale)
        ]
        crop = None if config.crop is None else (config.crop, config.crop)
        steps += [RandomCrop(crop)] if crop else []
        steps += [RandomFlip()] if config.flip else []
        steps += [PhotometricDistortion()] if config.distort else []
        steps += [Normalize(Normalisation((PAD_VALUE,) * 3, (1.0,) * 3))]
        steps += [Pad(crop)] if crop else []
        self._pipeline = Pipeline(tuple(steps))
        self._read: dict[int, Example] = {}

    def view(self, index: int, number: int, *, keep: bool = False) -> View:
        """Returns view `number` of sample `index`; `keep` holds the read sample in memory."""
        example = self._read.get(index)
        if example is None:
            sample = objects_for(self.task, self.dataset[index], self.dataset.vocabulary)
            example = from_sample(sample)
            if example.semantic is None and self.task == "semantic":
                raise DataError(
                    f"sample {example.id!r} of {self.dataset.name} has no label map; fit needs "
                    "labelled images"
                )
            if example.semantic is None:
                unlabelled = torch.full(example.size, IGNORE, dtype=torch.long)
                example = replace(example, semantic=unlabelled)
            if keep:
                self._read[index] = example
        key = (self.seed * 1_000_003 + index) * 1_000_003 + number
        generator = torch.Generator().manual_seed(key % (2**63))
        example = self._pipeline(example, generator)
        assert example.semantic is not None
        real = example.masks.flatten(1).any(1) & ~example.is_crowd & (example.class_ids >= 0)
        masks = MaskTargets(example.class_ids[real], example.masks[real])
        return View(example.image + PAD_VALUE, self.relabel(example.semantic), masks)

    def digest(self) -> str:
        """Returns 16 hex digits of the first image: names alone do not tell sizes apart."""
        return hashlib.sha256(self.dataset[0].pixels().tobytes()).hexdigest()[:16]

    def largest(self, pairs: Sequence[tuple[int, int]], *, stride: int) -> tuple[int, int]:
        """Returns (height, width) that holds all these views, in multiples of `stride`."""
        sizes = [self.view(image, number, keep=True).labels.shape for image, number in pairs]
        return rounded_up(sizes, stride)


class EncodedViews:
    """A fixed pool of views per image whose frozen features are computed before training.

    Args:
        num_views: views per image.
        cache: where features are kept; one of an earlier fit on the same views saves the encoding.
        at_once: views that are encoded together.
    """

    def __init__(
        self,
        system: System,
        views: Views,
        *,
        num_views: int,
        cache: FeatureCache | None = None,
        at_once: int = 8,
        progress: bool = True,
    ) -> None:
        self.num_views, self.num_images = num_views, len(views.dataset)
        pairs = [(i, v) for i in range(self.num_images) for v in range(num_views)]
        self.cache = cache or FeatureCache()
        self.device = system.device
        self._views: list[tuple[Tensor, MaskTargets]] = []
        size = None if views.config.crop else views.largest(pairs, stride=system.stride)
        starts = range(0, len(pairs), at_once)
        bar = tqdm(starts, "encode images", disable=None if progress else True, delay=2)
        for start in bar:
            part = [views.view(i, v, keep=True) for i, v in pairs[start : start + at_once]]
            part = same_size(part, size, system.padding)
            rows = range(start, start + len(part))
            if not all(row in self.cache for row in rows):
                features = encode(system, part)
                grid = {GRID: torch.tensor(features.grid)}
                for place, row in enumerate(rows):
                    self.cache.put(row, {k: t[place] for k, t in features.tensors.items()} | grid)
            self._views += [(view.labels, view.masks) for view in part]

    def batch(self, pairs: Sequence[tuple[int, int]]) -> tuple[Features, Tensor, list[MaskTargets]]:
        """Returns the features, labels (B, h, w) and objects of (image, view) pairs."""
        rows = [i * self.num_views + v for i, v in pairs]
        stored = [self.cache.get(row, self.device) for row in rows]
        tensors = {name: torch.stack([each[name] for each in stored]) for name in stored[0]}
        height, width = tensors.pop(GRID)[0].tolist()
        labels = torch.stack([self._views[row][0] for row in rows])
        masks = [on_device(self._views[row][1], self.device) for row in rows]
        return Features(tensors, (height, width)), labels.to(self.device), masks


def rounded_up(sizes: Sequence[Sequence[int]], stride: int) -> tuple[int, int]:
    """Returns the smallest (height, width) in multiples of `stride` that holds all sizes."""
    height, width = (max(side) for side in zip(*sizes, strict=True))
    return -(-height // stride) * stride, -(-width // stride) * stride


def same_size(
    views: Sequence[View], size: tuple[int, int] | None, padding: Sequence[float]
) -> list[View]:
    """Returns the views padded at the right and bottom to (height, width); as they are for None."""
    if size is None:
        return list(views)
    result = []
    for view in views:
        bottom, right = (a - b for a, b in zip(size, view.labels.shape, strict=True))
        edge = (0, right, 0, bottom)
        value = torch.tensor(padding)[:, None, None]
        pixels = F.pad(view.pixels - value, edge) + value
        masks = MaskTargets(view.masks.class_ids, F.pad(view.masks.masks, edge))
        result.append(View(pixels, F.pad(view.labels, edge, value=IGNORE), masks))
    return result


def on_device(masks: MaskTargets, device: torch.device) -> MaskTargets:
    """Returns the objects on a device."""
    return MaskTargets(masks.class_ids.to(device), masks.masks.to(device))


def encode(system: System, views: Sequence[View]) -> Features:
    """Returns the frozen features of a batch of views."""
    return system.encode_for_loss(torch.stack([view.pixels for view in views]).to(system.device))


def labels_of(system: System, views: Sequence[View]) -> Tensor:
    """Returns the labels of a batch of views, (B, c, c) int64, on the device of the system."""
    return torch.stack([view.labels for view in views]).to(system.device)
