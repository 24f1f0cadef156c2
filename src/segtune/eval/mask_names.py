"""How well a CLIP names labelled regions: the second stage alone, with masks that are right.

OVSeg calls this the case of ground-truth masks (section 3.1): what is missing to a perfect score is
the fault of the names. Pixels of the regions give the mIoU of a table of segmentation; regions
counted once each give the accuracies that the released training scripts print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from tqdm import tqdm

from segtune.backbones.clip.model import ClipVit
from segtune.data.regions import named_regions
from segtune.errors import DataError
from segtune.eval.semantic import ConfusionMatrix, SemanticScores
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.predict.naming import mask_probs
from segtune.systems.base import Words
from segtune.types import IGNORE, Dataset


@dataclass(frozen=True)
class MaskNameScores:
    """Scores of pixels, and of regions that count once each whatever their size."""

    pixels: SemanticScores
    regions: SemanticScores

    def summary(self) -> Mapping[str, float]:
        """Returns the headline numbers, fractions 0..1; "top-1" and "macro" are of regions."""
        row = {k: v for k, v in self.pixels.summary().items() if "IoU" in k and k != "fwIoU"}
        row["top-1"] = self.regions.pixel_accuracy
        row["macro"] = self.regions.mean_accuracy
        for name, group in self.regions.groups.items():
            row[f"top-1({name})"] = group.pixel_accuracy
        return row


def score_mask_names(
    clip: ClipVit,
    dataset: Dataset,
    words: Words,
    *,
    mask_prompts: Tensor | None = None,
    config: RegionConfig = OVSEG,
    limit: int | None = None,
    progress: bool = True,
) -> MaskNameScores:
    """Returns how well the labelled regions of a dataset are named by its words.

    Args:
        words: of the vocabulary of the dataset, in the space of `clip`.
        mask_prompts: (D, N, d) or None.
        config: how regions are cut; its size is that of the CLIP.
        limit: the first images only.

    Raises:
        DataError: no image has a labelled region.
    """
    pixels = ConfusionMatrix(len(dataset.vocabulary))
    regions = ConfusionMatrix(len(dataset.vocabulary))
    count = len(dataset) if limit is None else min(limit, len(dataset))
    for index in tqdm(range(count), "name masks", disable=None if progress else True):
        sample = dataset[index]
        labelled = named_regions(sample, dataset.vocabulary)
        if not labelled:
            continue
        masks = np.stack([region.mask for region in labelled])
        probs = mask_probs(clip, sample.pixels(), masks, words, config, mask_prompts=mask_prompts)
        truth = np.array([region.class_id for region in labelled], np.int32)
        named = probs.argmax(1).cpu().numpy().astype(np.int32)
        regions.update(named, truth)
        label_map, target = np.full((2, *masks.shape[1:]), IGNORE, np.int32)
        for mask, own, name in zip(masks, truth, named, strict=True):
            label_map[mask], target[mask] = name, own
        pixels.update(label_map, target)
    if not regions.counts.any():
        raise DataError(f"{dataset.name} ({dataset.split}) has no labelled regions to be named")
    vocabulary = dataset.vocabulary
    return MaskNameScores(pixels.scores(vocabulary), regions.scores(vocabulary))
