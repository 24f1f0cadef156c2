"""The batch of a step: random views of images with objects, a function of data, recipe and step.

Several processes share a batch: each takes its own part, and what all of a batch have in common is
drawn alike in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from segtune.data.examples import from_sample
from segtune.data.transforms import Pad, Pipeline, RandomCrop, RandomFlip, RandomScale
from segtune.errors import SegtuneError, unknown_name
from segtune.ops.mask_targets import MaskTargets
from segtune.systems.segprompt.targets import ClassSets, ImageObjects
from segtune.trainers.segprompt.recipe import SegPromptRecipe
from segtune.types import Dataset, Sample, Vocabulary

GREY = 118.0
"""Of padded pixels, near the mean of images."""


@dataclass(frozen=True)
class Batch:
    """Views of one step.

    Attributes:
        pixels: (B, 3, H, W) float32 RGB, 0..255.
        images: what is in each of them.
        seeds: of the choices for each of them.
        seed: of what all images of the step have in common.
    """

    pixels: Tensor
    images: list[ImageObjects]
    seeds: list[int]
    seed: int


class Batches:
    """Draws the batch of a step; every image once per pass over the data, each pass reshuffled.

    Args:
        dataset: with objects.
        recipe: sizes and seed.
        rank, processes: which part of a batch is made here.
    """

    def __init__(
        self, dataset: Dataset, recipe: SegPromptRecipe, *, rank: int = 0, processes: int = 1
    ) -> None:
        if recipe.batch % processes:
            raise SegtuneError(
                f"batch={recipe.batch} cannot be shared by {processes} processes; give a multiple"
            )
        self.dataset, self.recipe = dataset, recipe
        self.share = recipe.batch // processes
        self.first = rank * self.share
        self._views = Pipeline(
            (
                RandomScale(recipe.crop, 10 * recipe.crop, recipe.scale),
                RandomCrop((recipe.crop, recipe.crop), largest_share=1),
                RandomFlip(),
                Pad((recipe.crop, recipe.crop), GREY),
            )
        )
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, step: int) -> Batch:
        """Returns the part of the batch of a step, the same whenever it is asked for."""
        size, own = self.recipe.batch, slice(self.first, self.first + self.share)
        places = range(step * size, (step + 1) * size)[own]
        rng = np.random.default_rng((self.recipe.seed, 1, step))
        seeds = rng.integers(2**62, size=(size, 2))[own].tolist()
        views = [
            self._view(self._pick(place), seed)
            for place, (seed, _) in zip(places, seeds, strict=True)
        ]
        pixels, images = zip(*views, strict=True)
        common = int(np.random.default_rng((self.recipe.seed, 2, step)).integers(2**62))
        return Batch(torch.stack(pixels), list(images), [seed for _, seed in seeds], common)

    def _pick(self, place: int) -> int:
        number, place = divmod(place, len(self.dataset))
        if self._order is None or self._order[0] != number:
            rng = np.random.default_rng((self.recipe.seed, 0, number))
            self._order = (number, rng.permutation(len(self.dataset)))
        return int(self._order[1][place])

    def _view(self, index: int, seed: int) -> tuple[Tensor, ImageObjects]:
        sample = self.dataset[index]
        example = from_sample(with_objects(sample, self.dataset.vocabulary))
        view = self._views(example, torch.Generator().manual_seed(seed))
        objects = MaskTargets(view.class_ids, view.masks)
        return view.image, ImageObjects(objects, sample.not_exhaustive_ids, sample.absent_ids or ())


def with_objects(sample: Sample, vocabulary: Vocabulary) -> Sample:
    """Returns a sample with its named things alone; no crowds, no label map."""
    things = thing_ids(vocabulary)
    kept = tuple(x for x in sample.instances if x.class_id in things and not x.is_crowd)
    return replace(sample, semantic=None, instances=kept)


def thing_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Returns the ids of the classes that are countable."""
    return frozenset(i for i, concept in enumerate(vocabulary) if concept.kind == "thing")


def class_sets(vocabulary: Vocabulary, known: tuple[str, ...] = ()) -> ClassSets:
    """Returns which things are known, and which are not.

    Args:
        known: names; empty: those of the group "known", or all where there are no groups.

    Example:
        >>> class_sets(Vocabulary.of("car", "dog"), ("car",)).other
        frozenset({1})
    """
    things = thing_ids(vocabulary)
    for name in known:
        if name not in vocabulary.names:
            raise unknown_name(name, vocabulary.names, what="class of the data (known)")
    if known:
        chosen = {vocabulary.names.index(name) for name in known}
    else:
        chosen = set(vocabulary.ids_in("known")) or set(things)
    ids = things & chosen
    if not ids:
        raise SegtuneError(f"{vocabulary.name} has no thing to learn; name some with known")
    return ClassSets(ids, things - ids, len(vocabulary))
