"""Whether a mined pair agrees with the labels of its image.

The truth of a region is the class that owns most of its labelled pixels. A pair is judged

- "right" where its noun is the name or a synonym of that class,
- "partly" where its noun is a shorter form of one: all its words are words of the name, the last
  word of the name among them ("star" and "red star" for "striped red star"),
- "wrong" otherwise,
- not at all where most pixels of the region are unlabelled.

Names are compared in lower case, word by word in the singular, hyphens as spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segtune.types import IGNORE, Concept, Sample
from segtune.vocabulary.nouns.singular import singular

Verdict = Literal["right", "partly", "wrong"]


def label_map(sample: Sample) -> np.ndarray | None:
    """Returns (H, W) int32 class ids, `IGNORE` where unlabelled; None where nothing is labelled.

    Objects are painted over the class map in their order, which lists things in panoptic data.
    """
    if sample.semantic is None and not sample.instances:
        return None
    if sample.semantic is not None:
        return sample.semantic
    labels = np.full(sample.instances[0].mask.shape, IGNORE, np.int32)
    for instance in sample.instances:
        labels[instance.mask] = instance.class_id
    return labels


def owner(mask: np.ndarray, labels: np.ndarray) -> int | None:
    """Returns the class id with most pixels under a mask; None where most have no label.

    Args:
        mask: (H, W) bool.
        labels: (H, W) class ids with `IGNORE`.
    """
    values = labels[mask]
    labelled = values[values != IGNORE]
    if 2 * len(labelled) <= len(values):
        return None
    return int(np.bincount(labelled).argmax())


def verdict(noun: str, concept: Concept) -> Verdict:
    """Returns how a noun agrees with the class of its region.

    Example:
        >>> star = Concept("striped red star", synonyms=("stripy red star",))
        >>> [verdict(noun, star) for noun in ("stripy red stars", "red star", "striped", "moon")]
        ['right', 'partly', 'wrong', 'wrong']
    """
    words = _words(noun)
    names = [_words(name) for name in concept.names]
    if words in names:
        return "right"
    if any(words and words[-1] == name[-1] and set(words) <= set(name) for name in names if name):
        return "partly"
    return "wrong"


@dataclass(frozen=True)
class Precision:
    """Shares 0..1 of judged pairs.

    Attributes:
        exact: right ones.
        lenient: right and partly right ones.
        judged: pairs with a verdict.
        unlabelled: pairs without one.
    """

    exact: float
    lenient: float
    judged: int
    unlabelled: int


def precision(verdicts: Sequence[Verdict | None]) -> Precision | None:
    """Returns the shares of all pairs; None where none was judged."""
    counts = Counter(verdicts)
    judged = len(verdicts) - counts[None]
    if not judged:
        return None
    right, partly = counts["right"], counts["partly"]
    return Precision(right / judged, (right + partly) / judged, judged, counts[None])


def _words(name: str) -> tuple[str, ...]:
    return tuple(singular(word) for word in re.findall(r"[^\W_]+", name.lower()))
