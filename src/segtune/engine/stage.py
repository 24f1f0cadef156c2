"""The first half of mining as one step per image, in this process or in several.

Processes are plain `concurrent.futures`; results come in the order of the images, whoever is
faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from loky import ProcessPoolExecutor

from segtune.backbones.clip.model import ClipVit
from segtune.data.pairs import decode_rle
from segtune.data.readable import is_bad_image, what_is_bad
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
from segtune.types import Dataset

IN_FLIGHT = 4
"""Images per process that are begun before the first of them is asked for."""


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


@dataclass(frozen=True)
class Bad:
    """One image that cannot be looked at.

    Attributes:
        index: of the sample.
        problem: one sentence that names the image.
    """

    index: int
    problem: str


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

    def __call__(self, index: int) -> LookedAt | Bad:
        """Returns the image at an index of the dataset, or what is bad about it."""
        try:
            return self._look(index)
        except Exception as error:
            if not is_bad_image(error):
                raise
            return Bad(index, what_is_bad(error, self.dataset.sample_id(index)))

    def _look(self, index: int) -> LookedAt:
        sample = self.dataset[index]
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


def look_at(
    indices: range, build: Callable[[], RegionStage], *, workers: int = 1
) -> Iterator[LookedAt | Bad]:
    """Yields the images at the indices, in their order.

    Args:
        indices: of the dataset.
        build: makes the stage; called once in every process, so it must be picklable where there
            is more than one.
        workers: processes; 1 works in this one.
    """
    if workers == 1:
        stage = build()
        yield from map(stage, indices)
        return
    # torch's threads do not survive a fork; spawned workers would run the caller's script again.
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(build,)) as executor:
        waiting: deque[Future[LookedAt | Bad]] = deque()
        try:
            for index in indices:
                waiting.append(executor.submit(_work, index))
                if len(waiting) >= IN_FLIGHT * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(kill_workers=True)


_stage: RegionStage | None = None
"""The stage of a worker process; a process pool has no other place for it."""


def _start(build: Callable[[], RegionStage]) -> None:
    global _stage
    torch.set_num_threads(1)  # the processes share the cores
    _stage = build()


def _work(index: int) -> LookedAt | Bad:
    assert _stage is not None
    return _stage(index)
