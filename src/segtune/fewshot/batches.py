"""The batches of a fit: which views and targets every step learns from.

A batch is a function of the step alone, so that an interrupted fit goes on with the same ones.
Where features are computed before the first step, the same pool serves the trials on held-out
images (`train/trials.py`) and the fit itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from segtune.fewshot.config import FitConfig
from segtune.fewshot.feature_cache import FeatureCache, cache_key
from segtune.fewshot.views import (
    EncodedViews,
    Views,
    encode,
    labels_of,
    on_device,
    rounded_up,
    same_size,
)
from segtune.ops.labels import inductive_labels, transductive_labels
from segtune.ops.mask_targets import MaskTargets, select_classes
from segtune.storage.files import cache_dir
from segtune.systems.base import System, Targets, Words
from segtune.types import Features

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    features: Features
    words: Words
    targets: Targets


@dataclass(frozen=True)
class Stage:
    """Which classes a part of the run sees, and how label maps are rewritten for it."""

    words: Words
    seen_ids: tuple[int, ...] | None = None
    unseen_ids: tuple[int, ...] = ()

    def targets(self, labels: torch.Tensor, masks: Sequence[MaskTargets] = ()) -> Targets:
        """Returns the targets of label maps (B, H, W) and objects in ids of the full vocabulary."""
        if self.seen_ids is not None:
            masks = [select_classes(objects, self.seen_ids) for objects in masks]
            return Targets(inductive_labels(labels, self.seen_ids), masks)
        if self.unseen_ids:
            marked = transductive_labels(labels, self.unseen_ids)
            annotated = [~torch.isin(m.class_ids, torch.tensor(self.unseen_ids)) for m in masks]
            masks = [
                MaskTargets(m.class_ids[keep], m.masks[keep])
                for m, keep in zip(masks, annotated, strict=True)
            ]
            return Targets(marked, masks, pseudo_ids=self.unseen_ids)
        return Targets(labels, masks)


class Batches:
    """Gives the batch of a step; processes take parts of one larger draw.

    Args:
        system: computes the features.
        views: of the labelled images.
        stages: what the first and the second half of the run see.
        config: batch size, number of views, steps, cache.
        seed: of the draws.

    Attributes:
        pool: the encoded views; None where every step draws fresh ones.
    """

    def __init__(
        self,
        system: System,
        views: Views,
        stages: tuple[Stage, Stage],
        config: FitConfig,
        *,
        seed: int,
        progress: bool = True,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.system, self.views, self.stages, self.config = system, views, stages, config
        self.seed, self.num_images = seed, len(views.dataset)
        self.rank, self.world = 0, 1
        if accelerator:
            self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.pool: EncodedViews | None = None
        if config.views:
            cache = feature_cache(system, views, config)
            self.pool = EncodedViews(
                system, views, num_views=config.views, cache=cache, progress=progress
            )

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step of the fit, this process's part of it."""
        return self.draw(step, range(self.num_images), self.rank, self.world)

    def draw(self, step: int, images: Sequence[int], rank: int = 0, world: int = 1) -> Batch:
        """Returns the batch of a step of a run that learns from some of the images only."""
        count = world * self.config.batch
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        draws = torch.randint(len(images), (count,), generator=generator)
        drawn = [images[i] for i in draws[rank::world].tolist()]
        stage = self.stages[0 if step < self.config.loop.steps // 2 else 1]
        if self.pool is None:
            return self._fresh(drawn, step, stage)
        draws = torch.randint(self.pool.num_views, (count,), generator=generator)
        numbers = draws[rank::world].tolist()
        return self._stored(list(zip(drawn, numbers, strict=True)), stage)

    def whole(self, images: Sequence[int]) -> Batch:
        """Returns the first view of each image, with the words and targets of the end of the run.

        Raises:
            ValueError: there is no pool.
        """
        return self._stored([(image, 0) for image in images], self.stages[-1])

    def _stored(self, pairs: Sequence[tuple[int, int]], stage: Stage) -> Batch:
        if self.pool is None:
            raise ValueError("no view is stored; give FitConfig.views")
        features, labels, masks = self.pool.batch(pairs)
        return Batch(features, stage.words, stage.targets(labels, masks))

    def _fresh(self, images: Sequence[int], step: int, stage: Stage) -> Batch:
        drawn = [self.views.view(image, step) for image in images]
        if self.views.config.crop is None:
            sizes = [view.labels.shape for view in drawn]
            drawn = same_size(drawn, rounded_up(sizes, self.system.stride), self.system.padding)
        features, labels = encode(self.system, drawn), labels_of(self.system, drawn)
        masks = [on_device(view.masks, labels.device) for view in drawn]
        return Batch(features, stage.words, stage.targets(labels, masks))


def feature_cache(system: System, views: Views, config: FitConfig) -> FeatureCache:
    """Returns where the features of these views are kept; on disk under all that they depend on."""
    if config.cache == "memory":
        return FeatureCache(half=config.cache_half)
    backbone: Any = system.backbone
    key = cache_key(
        encoding=system.encoding(),
        data=[views.dataset.name, [views.dataset.sample_id(i) for i in range(len(views.dataset))]],
        first=views.digest(),
        views=asdict(views.config),
        num_views=config.views,
        seed=views.seed,
        half=config.cache_half,
    )
    folder = cache_dir() / "features" / backbone.fingerprint / key
    return FeatureCache(folder, half=config.cache_half)
