"""What an evaluation returns: scores, the protocol they belong to, and a few pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Segmentation, Vocabulary


class Scores(Protocol):
    """Scores of any task, as tables and reports read them."""

    def summary(self) -> dict[str, float]:
        """Returns the headline numbers by short name, fractions 0..1, the most important first."""
        ...

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns the columns of the per-class table, (K,) each, the most important first."""
        ...


@dataclass(frozen=True)
class EvaluationProtocol:
    """How numbers came about: everything a reader needs to compare or repeat them.

    The first five fields and the groups are filled in by the evaluation itself.

    Attributes:
        vocabulary: name of the vocabulary; its words are in `classes`.
        templates: name of the template set of the text embeddings.
        seen, unseen: class names of the zero-shot groups; empty without such groups.
        resolution: how images were resized, for example "short side 512, windows 512 / 426".
        shots: labelled images per class that were used to fit; None for zero-shot.
        seeds: of the fit and the selection of its images.
        selection: rule that chose the checkpoint, never one that looks at the test split.
        weights: model, its checkpoint and the prompt file.
        extra: further settings by name.
    """

    dataset: str = ""
    split: str = ""
    vocabulary: str = ""
    classes: tuple[str, ...] = ()
    num_images: int = 0
    templates: str | None = None
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    resolution: str | None = None
    shots: int | None = None
    seeds: tuple[int, ...] = ()
    selection: str | None = None
    weights: str | None = None
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Example:
    """One evaluated image, small enough to keep.

    Attributes:
        image: (H, W, 3) uint8 RGB, reduced.
        truth: annotation at the size of `image`, in the form of an answer.
        prediction: the answer at the size of `image`.
        score: score of this image alone, 0..1; NaN where it has nothing that is scored.
        rank: "worst", "median", "best", a place in between, or "chosen".
    """

    sample_id: str
    image: np.ndarray
    truth: Segmentation
    prediction: Segmentation
    score: float
    rank: str


@dataclass(frozen=True)
class EvaluationResult:
    """Scores over one split with their protocol, per-class columns and examples.

    Attributes:
        task: a name in `segtune.eval.judges.JUDGES`.
        vocabulary: K concepts that were scored.
        image_scores: sample id -> score of this image alone.
        confusion: pixel counts of semantic evaluations; None for other tasks.
        seconds: wall-clock time of the predictions.
    """

    task: str
    vocabulary: Vocabulary
    scores: Scores
    protocol: EvaluationProtocol
    image_scores: Mapping[str, float]
    examples: tuple[Example, ...] = ()
    confusion: ConfusionMatrix | None = None
    seconds: float = 0.0

    @property
    def example_ids(self) -> tuple[str, ...]:
        """Sample ids of the examples, to show the same images for another model."""
        return tuple(example.sample_id for example in self.examples)

    @cached_property
    def class_columns(self) -> dict[str, np.ndarray]:
        """The columns of the per-class table, (K,) each; computed once."""
        return self.scores.per_class()

    def class_table(self) -> list[dict[str, str | float]]:
        """Returns one row per class: its name, group and kind, then the columns of the scores."""
        columns = self.class_columns
        return [
            {"class": concept.name, "group": concept.group or "", "kind": concept.kind}
            | {name: float(values[i]) for name, values in columns.items()}
            for i, concept in enumerate(self.vocabulary)
        ]
