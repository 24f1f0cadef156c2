"""Names for regions: every synonym has its own row, and the likeliest one speaks for its class.

FC-CLIP's zero-shot classifier, which Uni-OVSeg's evaluation follows: rows are means over templates
(`vocabulary.embeddings`), logits are cosines times the temperature of CLIP, and the logits of
synonyms are maxed, never averaged.

Shape letters: Q regions, R rows (synonyms), K classes, k joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtune.backbones.base import FrozenReader
from segtune.errors import SegtuneError
from segtune.types import TemplateSet, Vocabulary
from segtune.vocabulary.embeddings import embed_vocabulary


@dataclass(frozen=True)
class Rows:
    """The words of a vocabulary, one row per synonym.

    Attributes:
        embeds: (R, k), unit length.
        counts: of each class, negatives included, how many rows it has.
    """

    embeds: Tensor
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if sum(self.counts) != len(self.embeds) or 0 in self.counts:
            raise SegtuneError(
                f"{len(self.embeds)} rows for classes of {self.counts}; expected their sum, and at "
                "least one for each class"
            )


def synonym_rows(model: FrozenReader, vocabulary: Vocabulary, templates: TemplateSet) -> Rows:
    """Returns the rows of a vocabulary, negatives last."""
    groups = [concept.names for concept in vocabulary] + [(word,) for word in vocabulary.negatives]
    rows: dict[str, int] = {}
    for name in (name for group in groups for name in group):
        rows.setdefault(name, len(rows))  # a name may be a synonym of two classes
    embeds = embed_vocabulary(model, Vocabulary.of(*rows), templates)
    order = [rows[name] for group in groups for name in group]
    return Rows(embeds[order], tuple(len(group) for group in groups))


def class_logits(region_embeds: Tensor, rows: Rows, *, temperature: float) -> Tensor:
    """Returns (..., K) logits of regions.

    Args:
        region_embeds: (..., k), unit length.
        rows: of K classes.
        temperature: factor between cosines and logits.

    Example:
        >>> import torch
        >>> rows = Rows(torch.eye(3), (1, 2))
        >>> class_logits(torch.tensor([0.0, 0.6, 0.8]), rows, temperature=10.0).tolist()
        [0.0, 8.0]
    """
    logits = temperature * region_embeds @ rows.embeds.to(region_embeds).T  # (..., R)
    return max_over_synonyms(logits, rows.counts)


def max_over_synonyms(logits: Tensor, counts: Sequence[int]) -> Tensor:
    """Returns (..., K): the largest of the `counts` neighbouring logits of each class."""
    if all(count == 1 for count in counts):
        return logits
    return torch.stack([part.amax(-1) for part in logits.split(list(counts), -1)], -1)


def class_probs(
    adapted_embeds: Tensor,
    frozen_embeds: Tensor | None,
    rows: Rows,
    *,
    temperature: float,
    frozen_share: float = 0.0,
) -> Tensor:
    """Returns (..., K) probabilities of regions; with a share of the frozen ones they sum to less.

    p = p_adapted^(1 - share) p_frozen^share, FC-CLIP's geometric ensemble; our extension, off where
    the share is 0.

    Args:
        adapted_embeds, frozen_embeds: (..., k), unit length.
        frozen_share: 0..1.
    """
    probs = class_logits(adapted_embeds, rows, temperature=temperature).float().softmax(-1)
    if not frozen_share:
        return probs
    if frozen_embeds is None:
        raise SegtuneError(f"frozen_share={frozen_share} needs the frozen embeddings")
    frozen = class_logits(frozen_embeds, rows, temperature=temperature).float().softmax(-1)
    return probs ** (1 - frozen_share) * frozen**frozen_share
