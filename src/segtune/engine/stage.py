"""The first half of mining as one step per image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtune.backbones.clip.model import ClipVit
from segtune.data.pairs import decode_rle
from segtune.engine.judge import label_map, owner
from segtune.engine.masks import MaskSource
from segtune.engine.regions import (
    ImageRegions,
    RegionCache,
    embed_regions,
    for_clip,
    region_key,
)
from segtune.ops.regions.recipes import RegionConfig
from segtune.predict.memory import refuse_if_too_large, size_of
from segtune.types import Dataset

BYTES_PER_PIXEL = 200
"""What masks of an image take at most: sixteen at a time, their logits, and the picture."""


@dataclass(frozen=True)
class LookedAt:
    """One image with everything that matching needs.

    Attributes:
        index, id: of the sample.
        image: path of its file, or its id where there is none.
        captions: of the image.
        regions: its masks and their embeddings.
        owners: class id that owns each region, None where unlabelled; None where the image has no
            labels.
    """

    index: int
    id: str
    image: str
    captions: tuple[str, ...]
    regions: ImageRegions
    owners: tuple[int | None, ...] | None


class RegionStage:
    """Reads an image, takes its masks and embeds them; regions that are on disk are not embedded.

    Args:
        dataset: where images and captions are from.
        clip: embeds regions.
        source: gives masks.
        config: how regions are cut; their size is that of `clip`.
        cache: folder of kept regions; None keeps none.
    """

    def __init__(
        self,
        dataset: Dataset,
        clip: ClipVit,
        source: MaskSource,
        config: RegionConfig,
        cache: Path | None,
    ) -> None:
        self.dataset, self.clip, self.source = dataset, clip, source
        self.config = for_clip(config, clip)
        self.cache = RegionCache(cache)

    def __call__(self, index: int) -> LookedAt:
        """Returns the image at an index of the dataset.

        Raises:
            ImageError: it cannot be read.
        """
        sample = self.dataset[index]
        size = size_of(sample)
        needed = size[0] * size[1] * BYTES_PER_PIXEL
        refuse_if_too_large(needed, size, what="region", name=sample.id)
        key = region_key(sample, self.source.key(sample), self.clip, self.config)
        regions = self.cache.get(key)
        if regions is None:
            masks = self.source(sample)
            regions = embed_regions(sample.pixels(), masks, self.clip, self.config)
            self.cache.put(key, regions)
        labels = label_map(sample)
        image = sample.id if isinstance(sample.image, np.ndarray) else sample.image.as_posix()
        return LookedAt(
            index,
            sample.id,
            image,
            sample.captions,
            regions,
            None
            if labels is None
            else tuple(owner(decode_rle(rle, regions.size), labels) for rle in regions.rles),
        )
