"""What stage 2 learns: the adapter; its batches and its loss (equation 8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from segtune.ops.matched.matching import Match
from segtune.storage.recent import Recent
from segtune.systems.uniovseg.adapter import region_embeds
from segtune.systems.uniovseg.alignment import alignment_loss
from segtune.systems.uniovseg.model import AdaptedUniOvseg
from segtune.train.checkpoints import Stateful
from segtune.train.trainable import Trainable
from segtune.trainers.uniovseg.captions_pairs import PairFinder, Pairs, with_captions
from segtune.trainers.uniovseg.captions_recipe import CaptionsRecipe
from segtune.types import Dataset, Sample

PAIRS_KEPT = 4096
"""Images whose pairs are remembered; the others are found again, which changes nothing."""


@dataclass(frozen=True)
class CaptionBatch:
    """Samples of one step, with their places in the data."""

    indices: tuple[int, ...]
    samples: tuple[Sample, ...]


class CaptionBatches:
    """Draws the batch of a step; every image once per pass over the data, each pass reshuffled."""

    def __init__(self, dataset: Dataset, recipe: CaptionsRecipe) -> None:
        self.dataset, self.recipe = dataset, recipe
        self._order: tuple[int, np.ndarray] | None = None

    def __call__(self, step: int) -> CaptionBatch:
        """Returns the batch of a step, the same whenever it is asked for.

        Raises:
            DataError: an image has no caption.
        """
        size = self.recipe.batch
        picks = tuple(self._pick(place) for place in range(step * size, (step + 1) * size))
        return CaptionBatch(picks, tuple(with_captions(self.dataset[pick]) for pick in picks))

    def _pick(self, place: int) -> int:
        number, place = divmod(place, len(self.dataset))
        if self._order is None or self._order[0] != number:
            rng = np.random.default_rng((self.recipe.seed, 0, number))
            self._order = (number, rng.permutation(len(self.dataset)))
        return int(self._order[1][place])


class CaptionsTrainee(nn.Module, Trainable):
    """The adapter of a system in training; all else is frozen.

    Args:
        system: changed in place.
        finder: of pairs.
        recipe: of the run.
    """

    def __init__(self, system: AdaptedUniOvseg, finder: PairFinder, recipe: CaptionsRecipe) -> None:
        super().__init__()
        assert system.adapter is not None
        self.system, self.finder, self.recipe = system, finder, recipe
        self.adapter = system.adapter
        self._pairs: Recent[int, Pairs] = Recent(PAIRS_KEPT)

    def losses(self, batch: CaptionBatch) -> dict[str, Tensor]:
        """Returns {"align"}, with the numbers of pairs and entities for the log."""
        model, adapted, texts = self.system.backbone, [], []
        num_entities = 0
        for index, sample in zip(batch.indices, batch.samples, strict=True):
            looked = model.look(sample.pixels())
            pairs = self._pairs.get(index, lambda s=sample, k=looked: self.finder(s, k))  # type: ignore[misc]
            num_entities += pairs.num_entities
            if len(pairs.mask_logits):
                masks = pairs.mask_logits[None]
                adapted.append(region_embeds(model, looked.seen, masks, self.adapter)[0])
                texts.append(pairs.text_embeds.to(masks.device))
        matches = [Match(torch.arange(len(t)), torch.arange(len(t))) for t in texts]
        loss = alignment_loss(adapted, texts, matches)
        if not adapted:
            loss = torch.stack([p.sum() * 0 for p in self.adapter.parameters()]).sum()
        counts = {"_pairs": sum(map(len, texts)), "_entities": num_entities}
        return {"align": loss, **{k: torch.tensor(float(v)) for k, v in counts.items()}}

    def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
        """Returns what is learned."""
        return self.adapter.parameters(recurse)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW over the adapter."""
        groups = self.system.parameter_groups(self.recipe.lr, self.recipe.weight_decay)
        return {"adamw": torch.optim.AdamW(groups, lr=self.recipe.lr)}

    def state(self) -> dict[str, Stateful]:
        """Returns the adapter."""
        return {"adapter": self.adapter}
