"""One training step's views, masks and clicks: a pure function of the data, recipe and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from segtune.data.examples import Example, from_sample
from segtune.data.transforms import Normalize, Pad, Pipeline, RandomCrop, RandomFlip, RandomScale
from segtune.ops.mask_targets import MaskTargets, targets_from_semantic
from segtune.ops.normalisation import Normalisation
from segtune.types import IGNORE, Dataset

GREY = 118.0
MIN_MASK_PX = 12
MAX_CLICKS = 6


class Views(Protocol):
    """The settings of a recipe that a batch depends on; see `SeemRecipe` for their meaning."""

    @property
    def seed(self) -> int: ...
    @property
    def short_side(self) -> int: ...
    @property
    def scale(self) -> tuple[float, ...]: ...
    @property
    def crop(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def targets(self) -> Literal["instances", "semantic"]: ...
    @property
    def prompts_per_image(self) -> int: ...


@dataclass(frozen=True)
class PromptTargets:
    """Clicks of one image and the masks that they mean.

    Attributes:
        points: (P, C, 2) float32 (x, y) in 0..1 of the view; C clicks of one mask each.
        masks: (P, H, W) bool.
    """

    points: Tensor
    masks: Tensor


@dataclass(frozen=True)
class Batch:
    """Views of one step.

    Attributes:
        pixels: (B, 3, H, W), 0..255.
        labels: (B, H, W) int64 class ids of the training words, `IGNORE` elsewhere.
        targets: per view, masks with class ids of the training words.
        prompts: per view, clicks; the same number of prompts and clicks in every view.
    """

    pixels: Tensor
    labels: Tensor
    targets: list[MaskTargets]
    prompts: list[PromptTargets]

    def to(self, device: torch.device) -> Batch:
        """Returns the batch on a device."""
        return Batch(
            self.pixels.to(device),
            self.labels.to(device),
            [MaskTargets(t.class_ids.to(device), t.masks.to(device)) for t in self.targets],
            [PromptTargets(p.points.to(device), p.masks.to(device)) for p in self.prompts],
        )


class Batches:
    """Draws the batch of a step.

    Args:
        dataset: labelled samples.
        recipe: sizes and numbers.
        class_ids: the classes of the dataset that are trained on, in the order of the words.
    """

    def __init__(self, dataset: Dataset, recipe: Views, class_ids: list[int]) -> None:
        self.dataset, self.recipe = dataset, recipe
        table = torch.full((len(dataset.vocabulary) + 1,), IGNORE, dtype=torch.long)
        table[class_ids] = torch.arange(len(class_ids))
        self._word_of = table  # the last entry answers for IGNORE
        crop = (recipe.crop, recipe.crop)
        low, high = recipe.scale
        self._pipeline = Pipeline(
            (
                RandomScale(recipe.short_side, 4 * recipe.short_side, ratio=(low, high)),
                RandomCrop(crop, largest_share=1),
                RandomFlip(),
                Normalize(Normalisation((GREY,) * 3, (1.0,) * 3)),
                Pad(crop),
            )
        )

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.recipe.seed, 2, step))
        picks = rng.integers(len(self.dataset), size=self.recipe.batch)
        examples = [self._view(int(index), rng) for index in picks]
        labels = torch.stack([self._labels(example) for example in examples])
        pixels = torch.stack([example.image for example in examples])
        gain = torch.from_numpy(rng.uniform(0.85, 1.15, (len(pixels), 1, 1, 1))).float()
        offset = torch.from_numpy(rng.uniform(-12, 12, (len(pixels), 1, 1, 1))).float()
        pixels = (pixels * gain + offset + GREY).clamp(0, 255)
        if self.recipe.targets == "semantic":
            targets = targets_from_semantic(labels)
        else:
            targets = [self._masks(example) for example in examples]
        count = self.recipe.prompts_per_image
        clicks = int(rng.integers(1, MAX_CLICKS + 1))
        prompts = [draw_prompts(t.masks, count, clicks, rng) for t in targets]
        return Batch(pixels, labels, targets, prompts)

    def _view(self, index: int, rng: np.random.Generator) -> Example:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return self._pipeline(from_sample(self.dataset[index]), generator)

    def _labels(self, example: Example) -> Tensor:
        assert example.semantic is not None
        return self._word_of[example.semantic]

    def _masks(self, example: Example) -> MaskTargets:
        words = self._word_of[example.class_ids]
        keep = (words >= 0) & (example.masks.flatten(1).sum(1) >= MIN_MASK_PX)
        return MaskTargets(words[keep], example.masks[keep])


def draw_prompts(masks: Tensor, count: int, clicks: int, rng: np.random.Generator) -> PromptTargets:
    """Returns `count` random masks of one image, each with `clicks` random points inside.

    Args:
        masks: (N, H, W) bool, none of them empty; with N = 0 all prompts are empty masks.
    """
    height, width = masks.shape[-2:]
    if not len(masks):
        return PromptTargets(
            torch.full((count, clicks, 2), 0.5), masks.new_zeros(count, height, width)
        )
    chosen = rng.integers(len(masks), size=count)
    points = np.empty((count, clicks, 2), np.float32)
    for row, index in enumerate(chosen):
        inside = np.flatnonzero(masks[index].numpy())
        y, x = np.divmod(rng.choice(inside, clicks), width)
        points[row] = np.stack([x / width, y / height], 1)
    return PromptTargets(torch.from_numpy(points), masks[torch.from_numpy(chosen)])
