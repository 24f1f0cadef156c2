"""How fast may a fit learn from these images? Cross-validation on the labelled images themselves.

A rate that teaches new names from sixteen images can ruin a model whose names were right already.
So a fit tries some factors of its rates on one part of its images and scores them on the other;
zero, which is the unfitted model, is always among them. Nothing but the labelled images is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.eval.semantic import ConfusionMatrix
from segtune.fewshot.batches import Batch, Batches
from segtune.fewshot.learner import optimise
from segtune.ops.postprocess import label_pixels
from segtune.systems.base import System
from segtune.train.config import LoopConfig
from segtune.types import Geometry, Task, Vocabulary

Factors = tuple[float, ...]
"""One factor of the learning rate for each parameter group of the system."""


@dataclass(frozen=True)
class Trials:
    """The scores of all candidates on images that their fits did not see.

    Attributes:
        scores: factors -> mIoU, or the loss with a minus sign for tasks other than semantic; higher
            is better. The first candidate is the unfitted model, with zeros.
        folds: parts into which the images were divided.
    """

    scores: Mapping[Factors, float]
    folds: int

    @property
    def best(self) -> Factors:
        """The candidate with the highest score; of equals, the one that comes first."""
        return max(self.scores, key=lambda factors: self.scores[factors])

    @property
    def is_unfitted(self) -> bool:
        """Whether no candidate beat the unfitted model."""
        return not any(self.best)

    def values(self) -> dict[str, Any]:
        """Returns plain values for the header of a prompt file."""
        rows = [{"factors": list(f), "score": s} for f, s in self.scores.items()]
        return {"folds": self.folds, "best": list(self.best), "scores": rows}


def cross_validate(
    system: System,
    batches: Batches,
    loop: LoopConfig,
    candidates: Sequence[Factors],
    *,
    folds: int,
    seed: int,
    task: Task,
    progress: bool = True,
) -> Trials:
    """Returns the held-out scores of the unfitted system and of every candidate.

    Every candidate is fitted once per fold, to the images of the other folds; the predictions of
    all folds are scored together. The system ends as it began.

    Args:
        system: at its start; one parameter group per number of a candidate.
        batches: with a pool of encoded views.
        loop: of the trials.
        candidates: factors of the rates of `loop`.
        folds: at least 2 and at most the number of images.
        seed: divides the images.
    """
    start = system.learned()
    order = np.random.default_rng(seed).permutation(batches.num_images).tolist()
    parts = [order[fold::folds] for fold in range(folds)]
    nothing = (0.0,) * len(system.parameter_groups(1.0, 0.0))
    scores: dict[Factors, float] = {}
    for factors in (nothing, *(c for c in candidates if any(c))):
        score = _Score(batches, task)
        for part in parts:
            system.load_learned(start)
            if any(factors):
                others = [image for image in order if image not in set(part)]
                optimise(
                    system,
                    lambda step, images=others: batches.draw(step, images),  # type: ignore[misc]
                    loop,
                    seed=seed,
                    factors=factors,
                    progress=progress,
                )
            score.add(system, part)
        scores[factors] = score.value()
    system.load_learned(start)
    return Trials(scores, folds)


class _Score:
    """Collects what the held-out images say about one candidate."""

    def __init__(self, batches: Batches, task: Task) -> None:
        self.batches, self.task = batches, task
        self.vocabulary = Vocabulary.of(*batches.stages[-1].words.names)
        self.matrix = ConfusionMatrix(len(self.vocabulary))
        self.losses: list[float] = []

    @torch.inference_mode()
    def add(self, system: System, images: Sequence[int]) -> None:
        """Scores the system on the first view of each image."""
        for image in images:
            batch = self.batches.whole([image])
            if self.task == "semantic":
                labels = batch.targets.semantic[0]
                self.matrix.update(_decided(system, batch), labels.clamp(min=-1))
            else:
                # Points of a loss may be drawn at random: the same ones for every candidate.
                with torch.random.fork_rng():
                    torch.manual_seed(image)
                    parts = system.loss(batch.features, batch.words, batch.targets)
                self.losses.append(float(sum(value.item() for value in parts.values())))

    def value(self) -> float:
        """Returns the score of all images added so far; higher is better."""
        if self.task == "semantic":
            return float(self.matrix.scores(self.vocabulary).summary()["mIoU"])
        return -sum(self.losses) / len(self.losses)


def _decided(system: System, batch: Batch) -> Tensor:
    """Returns the label map (H, W) that the system gives for a batch of one image."""
    height, width = batch.targets.semantic.shape[-2:]
    size = (height, width)
    prediction = system.predict(batch.features, batch.words, [Geometry(size, size, size)])[0]
    return label_pixels(prediction).class_ids
