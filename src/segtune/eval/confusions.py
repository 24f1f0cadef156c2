"""What a vocabulary gets wrong: which words are answered for which, and which words swallow others.

A confusion is often a fault of the words, not of the model: two names for one thing, or a word so
general that it wins everywhere. The report names both, so that a vocabulary can be repaired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from segtune.errors import SegtuneError
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Vocabulary

NO_ANSWER = "(no answer)"
"""Stands for pixels where no class won."""


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that were given another name.

    Attributes:
        share: of all pixels whose truth is `truth`, 0..1.
    """

    truth: str
    answered: str
    pixels: int
    share: float


@dataclass(frozen=True)
class Absorber:
    """A class that is answered where others are right.

    Attributes:
        pixels: wrongly given this name.
        share: of all wrong pixels, 0..1.
        victims: the names that lose most to it, with the pixels lost, largest first.
    """

    name: str
    pixels: int
    share: float
    victims: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class NearDuplicate:
    """Two names whose text embeddings can hardly be told apart."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True)
class ConfusionReport:
    """The largest confusions of an evaluation, each list with the worst first."""

    labelled_pixels: int
    wrong_pixels: int
    pairs: tuple[Confusion, ...]
    absorbers: tuple[Absorber, ...]
    near_duplicates: tuple[NearDuplicate, ...] = ()


def confusion_report(
    matrix: ConfusionMatrix,
    vocabulary: Vocabulary,
    *,
    top: int = 12,
    text_embeds: torch.Tensor | np.ndarray | None = None,
    min_similarity: float = 0.95,
) -> ConfusionReport:
    """Returns the worst confusions in the counts of an evaluation.

    Args:
        top: entries per list.
        text_embeds: (K, D) embeddings of the names, any length; adds `near_duplicates`.
        min_similarity: cosine from which two names count as near duplicates.

    Example:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.array([1, 1, 1, 0]), np.array([0, 1, 0, 0]))
        >>> confusion_report(matrix, Vocabulary.of("lane", "road")).pairs[0]
        Confusion(truth='lane', answered='road', pixels=2, share=0.6666666666666666)
    """
    if len(vocabulary) != matrix.num_classes:
        raise SegtuneError(
            f"the vocabulary has {len(vocabulary)} classes but the matrix {matrix.num_classes}"
        )
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    truth_pixels, wrong_pixels = matrix.counts.sum(1), int(wrong.sum())
    answers = (*vocabulary.names, NO_ANSWER)
    pairs = []
    for cell in _largest(wrong.ravel(), top):
        t, p = divmod(cell, wrong.shape[1])
        pixels = int(wrong[t, p])
        pairs.append(
            Confusion(vocabulary.names[t], answers[p], pixels, pixels / int(truth_pixels[t]))
        )
    absorbed = wrong.sum(0)
    absorbers = tuple(
        Absorber(
            name=answers[p],
            pixels=int(absorbed[p]),
            share=int(absorbed[p]) / wrong_pixels,
            victims=tuple(
                (vocabulary.names[t], int(wrong[t, p])) for t in _largest(wrong[:, p], 3)
            ),
        )
        for p in _largest(absorbed, top)
    )
    return ConfusionReport(
        labelled_pixels=int(truth_pixels.sum()),
        wrong_pixels=wrong_pixels,
        pairs=tuple(pairs),
        absorbers=absorbers,
        near_duplicates=()
        if text_embeds is None
        else near_duplicates(vocabulary, text_embeds, min_similarity=min_similarity, top=top),
    )


def near_duplicates(
    vocabulary: Vocabulary,
    text_embeds: torch.Tensor | np.ndarray,
    *,
    min_similarity: float = 0.95,
    top: int = 12,
) -> tuple[NearDuplicate, ...]:
    """Returns the pairs of names with the most similar text embeddings, most similar first.

    Args:
        text_embeds: (K, D), any length.
    """
    embeds = torch.as_tensor(text_embeds).detach().float().cpu()
    if embeds.ndim != 2 or len(embeds) != len(vocabulary):
        raise SegtuneError(
            f"text embeddings are {tuple(embeds.shape)}; expected ({len(vocabulary)}, D)"
        )
    embeds = torch.nn.functional.normalize(embeds, dim=-1)
    similarity = (embeds @ embeds.T).triu(diagonal=1).numpy()
    similarity[similarity < min_similarity] = 0
    names = vocabulary.names
    return tuple(
        NearDuplicate(names[cell // len(names)], names[cell % len(names)], min(float(value), 1.0))
        for cell in _largest(similarity.ravel(), top)
        for value in (similarity.flat[cell],)
    )


def _largest(values: np.ndarray, count: int) -> list[int]:
    """Returns the places of the largest positive values, largest first, earlier first on ties."""
    order = np.argsort(-values, kind="stable")[:count]
    return [int(place) for place in order if values[place] > 0]
