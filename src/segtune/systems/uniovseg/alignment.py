"""Which mask shows which entity of a caption, and the loss that brings them together (eq. 5-8).

The cost of a mask and an entity compares the frozen embedding of the region, seen at several input
sizes, with that of the words; the cheapest one-to-one assignment is believed, and the adapted
embedding is drawn towards the words of its entity. The authors' criterion survives in three
variants: several sizes (A), self-training with a teacher (B), greedy (C).

Shape letters: S input sizes, M masks, T entities, k joint width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.matched.matching import Match, assign

CostKind = Literal["softmax", "cosine"]
"""softmax: over the entities of the image, as in the authors' criterion; cosine: as in the paper.

Softmax normalises every mask, so one that fits nothing still gets a mass of 1. With a single entity
it would be 1 for every mask, and cosine is used.
"""
LARGEST_SHARE = 0.5
"""Of the teacher in blended embeddings, at the end of the training."""


@torch.no_grad()
def entity_costs(
    region_embeds: Tensor, text_embeds: Tensor, *, temperature: float, kind: CostKind = "softmax"
) -> Tensor:
    """Returns (M, T): 1 minus the mean probability, or minus the mean cosine, over input sizes.

    Args:
        region_embeds: (S, M, k), unit length, of the same masks at S input sizes.
        text_embeds: (T, k), unit length.
        temperature: factor of cosines before the softmax.
    """
    cosine = region_embeds.float() @ text_embeds.float().T  # (S, M, T)
    if kind == "cosine" or len(text_embeds) == 1:
        return 1 - cosine.mean(0)
    if kind != "softmax":
        raise SegtuneError(f"kind={kind!r}; expected softmax or cosine")
    return 1 - (temperature * cosine).softmax(-1).mean(0)


def blended(clip_embeds: Tensor, teacher_embeds: Tensor, share: float) -> Tensor:
    """Returns unit vectors between those of the frozen model and of a teacher (variant B).

    Args:
        clip_embeds, teacher_embeds: (..., k), unit length.
        share: of the teacher, 0..1; see `teacher_share`.
    """
    return F.normalize((1 - share) * clip_embeds + share * teacher_embeds, dim=-1)


def teacher_share(
    step: int, total: int, *, schedule: Literal["linear", "cosine", "sqrt"] = "linear"
) -> float:
    """Returns how much of the teacher is in the blend after `step` of `total` steps, 0..0.5.

    Example:
        >>> [teacher_share(step, 100) for step in (0, 50, 100)]
        [0.0, 0.25, 0.5]
    """
    done = min(step / max(total, 1), 1.0)
    if schedule == "linear":
        return LARGEST_SHARE * done
    if schedule == "cosine":
        return LARGEST_SHARE * (1 - math.cos(math.pi * done)) / 2
    if schedule == "sqrt":
        return LARGEST_SHARE * math.sqrt(done)
    raise SegtuneError(f"schedule={schedule!r}; expected linear, cosine or sqrt")


@dataclass(frozen=True)
class Confidence:
    """Which assigned pairs are believed; the defaults believe all, as the authors' config does.

    Attributes:
        top: share of the cheapest pairs of an image that is kept, at least one pair.
        min_cosine: pairs whose mean cosine is lower are dropped; None drops none.
        mutual: pairs are dropped where the mask would rather have another entity, or the entity
            another mask.
    """

    top: float = 1.0
    min_cosine: float | None = None
    mutual: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.top <= 1:
            raise SegtuneError(f"top={self.top}; expected more than 0, up to 1")


def match_entities(
    costs: Tensor, *, confidence: Confidence | None = None, cosine: Tensor | None = None
) -> Match:
    """Returns the cheapest one-to-one pairs of masks and entities of one image.

    Where pairs are left out by `top`, the cheapest come first; else masks ascend.

    Args:
        costs: (M, T).
        cosine: (M, T), for `Confidence.min_cosine`.

    Example:
        >>> costs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.3]])
        >>> pairs = match_entities(costs)
        >>> pairs.query_ids.tolist(), pairs.target_ids.tolist()
        ([0, 1], [1, 0])
        >>> match_entities(costs, confidence=Confidence(top=0.5)).query_ids.tolist()
        [0]
    """
    confidence = confidence or Confidence()
    (match,) = assign([costs])
    costs = costs.detach().cpu()
    rows, columns = match
    if confidence.mutual:
        of_row, of_column = costs.argmin(1)[rows], costs.argmin(0)[columns]
        agreed = (of_row == columns) & (of_column == rows)
        rows, columns = rows[agreed], columns[agreed]
    if confidence.min_cosine is not None:
        if cosine is None:
            raise SegtuneError("min_cosine needs the cosines; pass cosine=")
        alike = cosine.cpu()[rows, columns] >= confidence.min_cosine
        rows, columns = rows[alike], columns[alike]
    if confidence.top < 1 and len(rows):
        count = max(int(confidence.top * len(rows)), 1)
        cheapest = costs[rows, columns].argsort(stable=True)[:count]
        rows, columns = rows[cheapest], columns[cheapest]
    return Match(rows, columns)


@dataclass
class GreedyMatcher:
    """Every mask takes its likeliest entity, where it is sure enough (variant C).

    Sure is an entropy of at most a running mean of (mean + 2 deviations) over images.

    Attributes:
        limit: the running mean; None before the first image.
        keep: share of the old limit in each update.
    """

    limit: float | None = None
    keep: float = 0.999

    def __call__(self, probs: Tensor) -> Match:
        """Returns the pairs of one image, of probabilities (M, T) whose rows sum to 1."""
        entropy = -(probs * probs.clamp(min=1e-12).log()).sum(-1)
        now = float(entropy.mean() + 2 * entropy.std(correction=0)) if len(probs) else 0.0
        old = now if self.limit is None else self.limit
        self.limit = self.keep * old + (1 - self.keep) * now
        sure = (entropy <= self.limit).nonzero()[:, 0].cpu()
        return Match(sure, probs.argmax(-1).cpu()[sure])


def alignment_loss(
    adapted: Sequence[Tensor], texts: Sequence[Tensor], matches: Sequence[Match]
) -> Tensor:
    """Returns the mean of 1 - cosine over all pairs of a batch (eq. 8); 0 where there are none.

    Args:
        adapted: per image (M, k), unit length, with gradients.
        texts: per image (T, k), unit length.
    """
    distances = [
        1 - (regions[match.query_ids] * words[match.target_ids]).sum(-1)
        for regions, words, match in zip(adapted, texts, matches, strict=True)
    ]
    every = torch.cat(distances) if distances else torch.zeros(0)
    return every.sum() / max(len(every), 1)
