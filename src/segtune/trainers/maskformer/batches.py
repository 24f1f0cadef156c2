"""The batch of a step: random views of labelled images, a function of data, recipe and step."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from segtune.data.examples import from_sample
from segtune.data.transforms import maskformer_training
from segtune.errors import DataError
from segtune.ops.labels import inductive_labels
from segtune.trainers.maskformer.recipe import ProposalRecipe
from segtune.types import Dataset, Sample


@dataclass(frozen=True)
class Batch:
    """Views of one step.

    Attributes:
        pixels: (B, 3, H, W) float32 RGB, 0..255; padded at the right and bottom with grey.
        labels: (B, H, W) int64 rows of the words that are learned, `IGNORE` elsewhere.
    """

    pixels: Tensor
    labels: Tensor

    def split(self, parts: int) -> list[Batch]:
        """Returns the batch in equal parts, which must be possible."""
        size = len(self.pixels) // parts
        pairs = zip(self.pixels.split(size), self.labels.split(size), strict=True)
        return [Batch(pixels, labels) for pixels, labels in pairs]


class Batches:
    """Draws the batch of a step; every image once per pass over the data, each pass reshuffled.

    Args:
        dataset: with label maps.
        recipe: sizes, seed and number of threads; threads change no batch.
        class_ids: the classes of the dataset that are learned, in the order of the words. Pixels of
            all others become unlabelled.
    """

    def __init__(self, dataset: Dataset, recipe: ProposalRecipe, class_ids: Sequence[int]) -> None:
        self.dataset, self.recipe, self.class_ids = dataset, recipe, class_ids
        self._views = maskformer_training(recipe.crop, shorts=recipe.shorts, long=recipe.longest)
        self._threads = ThreadPoolExecutor(recipe.workers)
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step, the same whenever it is asked for.

        Raises:
            DataError: an image has no label map.
        """
        size = self.recipe.batch
        picks = [self._pick(place) for place in range(step * size, (step + 1) * size)]
        seeds = np.random.default_rng((self.recipe.seed, 1, step)).integers(2**62, size=size)
        views = list(self._threads.map(self._view, picks, seeds.tolist()))
        pixels, labels = zip(*views, strict=True)
        return Batch(torch.stack(pixels), torch.stack(labels))

    def _pick(self, place: int) -> int:
        number, place = divmod(place, len(self.dataset))
        if self._order is None or self._order[0] != number:
            rng = np.random.default_rng((self.recipe.seed, 0, number))
            self._order = (number, rng.permutation(len(self.dataset)))
        return int(self._order[1][place])

    def _view(self, index: int, seed: int) -> tuple[Tensor, Tensor]:
        sample = labelled(self.dataset, index)
        example = from_sample(replace(sample, instances=()))  # masks come from the label map
        view = self._views(example, torch.Generator().manual_seed(seed))
        assert view.semantic is not None
        return view.image, inductive_labels(view.semantic, self.class_ids)


def labelled(dataset: Dataset, index: int) -> Sample:
    """Returns a sample, which must have a label map.

    Raises:
        DataError: it has none.
    """
    sample = dataset[index]
    if sample.semantic is None:
        raise DataError(
            f"sample {sample.id!r} of {dataset.name} has no label map; mask proposals learn one "
            "mask per class of a label map, so give data such as COCO-Stuff, ADE20K or VOC"
        )
    return sample
