"""The loop over a data set, with the simplest judge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segtune.errors import DataError, SegtuneError
from segtune.eval.judges import JUDGES, JudgeSpec
from segtune.eval.judges.semantic import SemanticJudge
from segtune.eval.judging import ScoredModel, judge
from segtune.eval.result import EvaluationProtocol
from segtune.types import Segmentation
from tests.eval.worlds import VOCABULARY, Tiny, perfect, wrong_by_index

WRONG, PERFECT = ScoredModel(in_words=wrong_by_index), ScoredModel(in_words=perfect)


def test_examples_run_from_worst_to_best_and_can_be_asked_for_again() -> None:
    result = judge("semantic", WRONG, Tiny(), examples=3)
    assert result.example_ids == ("image-4", "image-2", "image-0")
    assert [example.rank for example in result.examples] == ["worst", "median", "best"]
    again = judge("semantic", PERFECT, Tiny(), examples=result.example_ids)
    assert again.example_ids == result.example_ids
    assert [example.score for example in again.examples] == [1, 1, 1]
    for count, expected in ((0, 0), (1, 1), (2, 2), (50, 5)):
        assert len(judge("semantic", PERFECT, Tiny(), examples=count).examples) == expected


def test_protocol_is_filled_in_and_the_run_repeats() -> None:
    given = EvaluationProtocol(templates="plain", shots=16, seeds=(0,), extra={"shift": 0.1})
    one = judge("semantic", WRONG, Tiny(), protocol=given)
    assert one.protocol == replace(
        given,
        dataset="tiny",
        split="val",
        vocabulary="tiny",
        classes=VOCABULARY.names,
        num_images=5,
        seen=("sky & sea", "car"),
        unseen=("<tree>", "boat"),
    )
    two = judge("semantic", WRONG, Tiny(), protocol=given)
    assert one.scores.summary() == two.scores.summary()
    assert one.image_scores == two.image_scores
    assert one.example_ids == two.example_ids


def test_it_is_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    judge("semantic", PERFECT, Tiny())
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_judged() -> None:
    with pytest.raises(DataError, match="has no images"):
        judge("semantic", PERFECT, Tiny(count=0))
    with pytest.raises(SegtuneError, match="has no sample 'image-9'"):
        judge("semantic", PERFECT, Tiny(), examples=["image-9"])
    with pytest.raises(SegtuneError, match="'semantics' is not a task; did you mean semantic"):
        judge("semantics", PERFECT, Tiny())
    with pytest.raises(SegtuneError, match="does not answer what this task asks"):
        judge("semantic", ScoredModel(), Tiny())


class InvertedJudge(SemanticJudge):
    """Scores what is left to learn."""

    def count(self, sample, answers: tuple[Segmentation, ...]) -> float:
        return 1 - super().count(sample, answers)


def test_a_task_of_another_package() -> None:
    spec = JUDGES.add(
        JudgeSpec(
            "inverted",
            "what is left",
            "Percent.",
            needs=("label maps",),
            asks="semantic",
            headline=("mIoU",),
            class_columns=("IoU", "Acc"),
            judge=f"{__name__}:InvertedJudge",
        )
    )
    try:
        result = judge("inverted", WRONG, Tiny())
    finally:
        JUDGES.remove(spec.name)
    plain = judge("semantic", WRONG, Tiny())
    assert result.task == "inverted"
    assert result.image_scores == {k: 1 - v for k, v in plain.image_scores.items()}
