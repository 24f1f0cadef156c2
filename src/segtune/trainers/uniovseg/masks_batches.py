"""The batch of a step of stage 1: views with unnamed masks, points and boxes.

All of it is a function of data, recipe and step.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from segtune.backbones.uniovseg.canvas import GREY
from segtune.data.examples import from_sample
from segtune.data.photometric import PhotometricDistortion
from segtune.data.transforms import Normalize, Pad, Pipeline, RandomCrop, RandomFlip, RandomScale
from segtune.data.transforms import Transform as Step
from segtune.errors import DataError
from segtune.ops.masks.suppression import grid_points
from segtune.ops.normalisation import Normalisation
from segtune.trainers.uniovseg.masks_recipe import MasksRecipe
from segtune.types import IGNORE, Dataset, Instance, Sample


@dataclass(frozen=True)
class MaskBatch:
    """Views of one step.

    Attributes:
        pixels: (B, 3, S, S) float32 RGB, 0..255; grey where there is no picture.
        masks: per image (N, S, S) bool, none of them empty; N may be 0.
        points_px: (B, P, 2), (x, y).
        box_ids: (B, X) int64, the mask that each box is around; -1 where an image has none.
        seed: of what is drawn during the step.
    """

    pixels: Tensor
    masks: tuple[Tensor, ...]
    points_px: Tensor
    box_ids: Tensor
    seed: int


class MaskBatches:
    """Draws the batch of a step; every image once per pass over the data, each pass reshuffled.

    Args:
        dataset: with masks or label maps.
        recipe: sizes, seed and number of threads; threads change no batch.
    """

    def __init__(self, dataset: Dataset, recipe: MasksRecipe) -> None:
        self.dataset, self.recipe = dataset, recipe
        side = recipe.canvas
        steps: list[Step] = [RandomScale(side, side, ratio=recipe.scale)]
        steps += [RandomCrop((side, side), largest_share=1.0), RandomFlip()]
        steps += [PhotometricDistortion()] if recipe.distort else []
        steps += [Normalize(Normalisation((GREY,) * 3, (1.0,) * 3)), Pad((side, side))]
        self._views = Pipeline(tuple(steps))
        self._threads = ThreadPoolExecutor(recipe.workers)
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, step: int) -> MaskBatch:
        """Returns the batch of a step, the same whenever it is asked for.

        Raises:
            DataError: an image has neither masks nor a label map.
        """
        recipe, size = self.recipe, self.recipe.batch
        picks = [self._pick(place) for place in range(step * size, (step + 1) * size)]
        rng = np.random.default_rng((recipe.seed, 1, step))
        seeds = rng.integers(2**62, size=size + 1).tolist()
        pixels, masks = zip(*self._threads.map(self._view, picks, seeds[:size]), strict=True)
        draws = torch.Generator().manual_seed(seeds[size])
        points = torch.stack([jittered(recipe.grid, recipe.canvas, draws) for _ in picks])
        box_ids = torch.stack([chosen(len(each), recipe.max_masks, draws) for each in masks])
        return MaskBatch(torch.stack(pixels), masks, points, box_ids, seeds[size])

    def _pick(self, place: int) -> int:
        number, place = divmod(place, len(self.dataset))
        if self._order is None or self._order[0] != number:
            rng = np.random.default_rng((self.recipe.seed, 0, number))
            self._order = (number, rng.permutation(len(self.dataset)))
        return int(self._order[1][place])

    def _view(self, index: int, seed: int) -> tuple[Tensor, Tensor]:
        recipe, generator = self.recipe, torch.Generator().manual_seed(seed)
        view = self._views(from_sample(unnamed(self.dataset[index])), generator)
        share = view.masks.flatten(1).float().mean(1)
        good = ((share >= recipe.min_area) & (share <= recipe.max_area)).nonzero()[:, 0]
        if len(good) > recipe.max_masks:
            draw = torch.randperm(len(good), generator=generator)[: recipe.max_masks]
            good = good[draw.sort().values]
        return view.image + GREY, view.masks[good]


def jittered(grid: int, side: int, generator: torch.Generator) -> Tensor:
    """Returns (grid * grid, 2) points in pixels, each somewhere in its cell of a square."""
    offsets = torch.rand(grid * grid, 2, generator=generator) - 0.5
    return ((grid_points(grid, grid) + offsets / grid) * side).clamp(max=side - 1e-3)


def chosen(count: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Returns (wanted,) ids of `count` masks: all of them, over and over; -1 where there are none.

    Example:
        >>> chosen(2, 5, torch.Generator().manual_seed(0)).sort().values.tolist()
        [0, 0, 0, 1, 1]
    """
    if not count:
        return torch.full((wanted,), -1)
    order = torch.randperm(count, generator=generator).sort().values
    return order.repeat(-(-wanted // count))[:wanted]


def unnamed(sample: Sample) -> Sample:
    """Returns a sample whose objects are masks without names.

    The annotated objects, or else the connected parts of the label map.

    Raises:
        DataError: it has neither.
    """
    if sample.instances:
        objects = tuple(
            replace(each, class_id=IGNORE) for each in sample.instances if not each.is_crowd
        )
        return replace(sample, semantic=None, instances=objects)
    if sample.semantic is None:
        raise DataError(
            f"sample {sample.id!r} has neither masks nor a label map to learn masks from"
        )
    return replace(sample, semantic=None, instances=connected(sample.semantic))


def connected(labels: np.ndarray) -> tuple[Instance, ...]:
    """Returns the connected parts of a label map as objects without names.

    Parts that touch at a corner are one. `IGNORE` is no part.

    Example:
        >>> [int(part.mask.sum()) for part in connected(np.array([[0, 1, 0], [1, 0, -1]]))]
        [3, 2]
    """
    found = []
    for class_id in np.unique(labels[labels != IGNORE]).tolist():
        parts, count = ndimage.label(labels == class_id, structure=np.ones((3, 3)))
        found += [Instance(IGNORE, parts == number) for number in range(1, count + 1)]
    return tuple(found)
