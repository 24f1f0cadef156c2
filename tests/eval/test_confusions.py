from __future__ import annotations

import numpy as np
import pytest
import torch

from segtune.errors import SegtuneError
from segtune.eval.confusions import NO_ANSWER, confusion_report, near_duplicates
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Vocabulary

VOCABULARY = Vocabulary.of("road", "lane", "car")


def matrix_of(rows: list[list[int]]) -> ConfusionMatrix:
    matrix = ConfusionMatrix(len(rows))
    matrix.counts += np.array(rows)
    return matrix


def test_pairs_and_absorbers_by_hand() -> None:
    report = confusion_report(matrix_of([[10, 0, 1, 0], [6, 2, 0, 2], [3, 0, 5, 0]]), VOCABULARY)
    assert report.labelled_pixels == 29
    assert report.wrong_pixels == 12
    assert [(p.truth, p.answered, p.pixels, p.share) for p in report.pairs] == [
        ("lane", "road", 6, 0.6),
        ("car", "road", 3, 3 / 8),
        ("lane", NO_ANSWER, 2, 0.2),
        ("road", "car", 1, 1 / 11),
    ]
    assert [(a.name, a.pixels, a.victims) for a in report.absorbers] == [
        ("road", 9, (("lane", 6), ("car", 3))),
        (NO_ANSWER, 2, (("lane", 2),)),
        ("car", 1, (("road", 1),)),
    ]
    assert sum(a.share for a in report.absorbers) == pytest.approx(1)
    assert len(confusion_report(matrix_of([[0, 5], [0, 0]][:1]), Vocabulary.of("a")).pairs) == 1


def test_nothing_wrong_gives_empty_lists() -> None:
    for rows in ([[3, 0, 0], [0, 4, 0]], [[0, 0, 0], [0, 0, 0]]):
        report = confusion_report(matrix_of(rows), Vocabulary.of("a", "b"))
        assert report.pairs == report.absorbers == report.near_duplicates == ()


def test_top_limits_the_lists() -> None:
    counts = np.random.default_rng(0).integers(1, 100, (9, 10)).tolist()
    vocabulary = Vocabulary.of(*"abcdefghi")
    report = confusion_report(matrix_of(counts), vocabulary, top=4)
    assert len(report.pairs) == len(report.absorbers) == 4
    pixels = [pair.pixels for pair in report.pairs]
    assert pixels == sorted(pixels, reverse=True)


def test_near_duplicates_are_found_whatever_the_length() -> None:
    embeds = torch.tensor([[1.0, 0.0], [3.0, 0.1], [0.0, 2.0]])
    (pair,) = near_duplicates(VOCABULARY, embeds)
    assert (pair.first, pair.second) == ("road", "lane")
    assert pair.similarity == pytest.approx(3 / np.hypot(3, 0.1))
    everything = near_duplicates(VOCABULARY, embeds.numpy(), min_similarity=0.01)
    assert [(p.first, p.second) for p in everything] == [("road", "lane"), ("lane", "car")]
    report = confusion_report(ConfusionMatrix(3), VOCABULARY, text_embeds=embeds)
    assert report.near_duplicates == (pair,)


def test_sizes_must_agree() -> None:
    with pytest.raises(SegtuneError, match="3 classes but the matrix 2"):
        confusion_report(ConfusionMatrix(2), VOCABULARY)
    with pytest.raises(SegtuneError, match=r"expected \(3, D\)"):
        near_duplicates(VOCABULARY, torch.zeros(2, 4))
