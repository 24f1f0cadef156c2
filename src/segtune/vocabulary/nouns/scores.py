"""Precision and recall of a noun backend against captions that people have labelled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.errors import DataError
from segtune.vocabulary.nouns.base import NounExtractor, extract_nouns
from segtune.vocabulary.parse import read_text


@dataclass(frozen=True)
class LabelledCaption:
    """A caption and the lemmas of its nouns; compounds such as "tennis ball" are one noun."""

    caption: str
    nouns: tuple[str, ...]


@dataclass(frozen=True)
class NounScores:
    """How well a backend finds the nouns of labelled captions, each share 0..1.

    A found noun is right *exactly* where its lemma is a labelled noun of its caption, and right *by
    head* where its last word is the last word of one: "ball" for "tennis ball".

    Attributes:
        precision, recall: exact.
        head_precision, head_recall: by head word.
        found, labelled: how many nouns there are.
    """

    precision: float
    recall: float
    head_precision: float
    head_recall: float
    found: int
    labelled: int

    @property
    def f1(self) -> float:
        """Harmonic mean of exact precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def score_nouns(extractor: NounExtractor, labelled: Sequence[LabelledCaption]) -> NounScores:
    """Returns precision and recall over all captions together.

    Example:
        >>> from segtune.vocabulary.nouns.given import FunctionNouns
        >>> labelled = [LabelledCaption("A dog chases tennis balls.", ("dog", "tennis ball"))]
        >>> scores = score_nouns(FunctionNouns(lambda captions: [["dog", "balls"]]), labelled)
        >>> scores.precision, scores.recall, scores.head_recall
        (0.5, 0.5, 1.0)
    """
    nouns = extract_nouns(extractor, [item.caption for item in labelled])
    exact_found = exact_missing = head_found = head_missing = found = total = 0
    for item, answers in zip(labelled, nouns, strict=True):
        lemmas = {noun.lemma for noun in answers}
        heads = {_head(lemma) for lemma in lemmas}
        wanted, wanted_heads = set(item.nouns), {_head(noun) for noun in item.nouns}
        exact_found += len(lemmas & wanted)
        exact_missing += len(wanted - lemmas)
        head_found += sum(_head(lemma) in wanted_heads for lemma in lemmas)
        head_missing += sum(_head(noun) not in heads for noun in wanted)
        found += len(lemmas)
        total += len(wanted)
    return NounScores(
        precision=exact_found / found if found else 0.0,
        recall=(total - exact_missing) / total if total else 0.0,
        head_precision=head_found / found if found else 0.0,
        head_recall=(total - head_missing) / total if total else 0.0,
        found=found,
        labelled=total,
    )


def read_labelled(file: Path) -> list[LabelledCaption]:
    """Returns the captions of a JSONL file with lines {"caption": "...", "nouns": ["...", ...]}.

    Raises:
        FileNotFoundError, DataError: missing, or a line is not of this form.
    """
    labelled = []
    for number, line in enumerate(read_text(file, what="labelled captions").splitlines(), 1):
        try:
            entry = json.loads(line)
            labelled.append(LabelledCaption(entry["caption"], tuple(entry["nouns"])))
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{file} line {number} is no labelled caption") from None
    return labelled


def _head(lemma: str) -> str:
    return lemma.rpartition(" ")[2]
