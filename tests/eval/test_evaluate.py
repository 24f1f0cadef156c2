from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segtune.errors import DataError, SegtuneError
from segtune.eval.evaluate import evaluate_semantic
from segtune.eval.result import EvaluationProtocol
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Dataset, Sample, Segmentation, Vocabulary
from tests.eval.worlds import VOCABULARY, Tiny, perfect, wrong_by_index


def test_scores_equal_one_matrix_over_all_images() -> None:
    dataset = Tiny()
    assert isinstance(dataset, Dataset)
    result = evaluate_semantic(wrong_by_index, dataset)
    matrix = ConfusionMatrix(4)
    for index in range(len(dataset)):
        sample = dataset[index]
        matrix.update(wrong_by_index(sample).semantic, sample.semantic)
    np.testing.assert_array_equal(result.confusion.counts, matrix.counts)
    assert result.scores.summary() == matrix.scores(VOCABULARY).summary()
    assert list(result.image_scores) == [f"image-{i}" for i in range(5)]
    assert [row["class"] for row in result.class_table()] == list(VOCABULARY.names)
    assert np.isnan(result.class_table()[3]["IoU"])


def test_examples_run_from_worst_to_best_and_can_be_asked_for_again() -> None:
    result = evaluate_semantic(wrong_by_index, Tiny(), examples=3)
    assert result.example_ids == ("image-4", "image-2", "image-0")
    assert [example.rank for example in result.examples] == ["worst", "median", "best"]
    again = evaluate_semantic(perfect, Tiny(), examples=result.example_ids)
    assert again.example_ids == result.example_ids
    assert [example.score for example in again.examples] == [1, 1, 1]
    for count, expected in ((0, 0), (1, 1), (2, 2), (50, 5)):
        assert len(evaluate_semantic(perfect, Tiny(), examples=count).examples) == expected


def test_examples_are_reduced_with_their_maps() -> None:
    example = evaluate_semantic(perfect, Tiny(), examples=1, example_side=8).examples[0]
    assert example.image.shape == (6, 8, 3)
    assert example.truth.size == example.prediction.size == (6, 8)
    np.testing.assert_array_equal(example.truth.semantic, example.prediction.semantic)
    truth = Tiny()[int(example.sample_id[-1])].semantic
    np.testing.assert_array_equal(example.truth.semantic, truth[::2, ::2])


def test_protocol_is_filled_in_and_the_run_repeats() -> None:
    given = EvaluationProtocol(templates="plain", shots=16, seeds=(0,), extra={"shift": 0.1})
    one = evaluate_semantic(wrong_by_index, Tiny(), protocol=given)
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
    two = evaluate_semantic(wrong_by_index, Tiny(), protocol=given)
    assert one.scores.summary() == two.scores.summary()
    assert one.image_scores == two.image_scores
    assert one.example_ids == two.example_ids


def test_own_groups_replace_tags() -> None:
    result = evaluate_semantic(wrong_by_index, Tiny(), groups={"unseen": [0], "rare": [2]})
    assert result.protocol.unseen == ("sky & sea",)
    assert "mIoU(rare)" in result.scores.summary()


def test_it_is_silent_without_a_terminal(capfd) -> None:
    evaluate_semantic(perfect, Tiny())
    assert capfd.readouterr() == ("", "")


def smaller(sample: Sample) -> Segmentation:
    return Segmentation((6, 8), VOCABULARY, semantic=sample.semantic[::2, ::2])


def other_classes(sample: Sample) -> Segmentation:
    return replace(perfect(sample), vocabulary=Vocabulary.of("a", "b"))


def other_order(sample: Sample) -> Segmentation:
    return replace(perfect(sample), vocabulary=VOCABULARY.subset([1, 0, 2, 3]))


def no_map(sample: Sample) -> Segmentation:
    return replace(perfect(sample), semantic=None)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (smaller, "'image-0': the answer is 8x6 but the label map is 16x12"),
        (other_classes, "the data set has 4 classes but the answer for 'image-0' has 2 classes"),
        (other_order, "has other names or another order"),
        (no_map, "the answer for 'image-0' has no semantic map"),
    ],
)
def test_bad_answers_are_one_clear_line(predict, message: str) -> None:
    with pytest.raises(SegtuneError, match=message) as caught:
        evaluate_semantic(predict, Tiny())
    assert "\n" not in str(caught.value)


class Changed(Tiny):
    """A data set whose samples have some fields replaced."""

    def __init__(self, **changes: object) -> None:
        super().__init__(count=1)
        self.changes = changes

    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), **self.changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"semantic": None}, "'image-0' has no semantic map"),
        ({"image": np.zeros((5, 7, 3), np.uint8)}, "image is 7x5 but its label map is 16x12"),
        ({"semantic": np.full((12, 16), 9, np.int32)}, "'image-0': the truth holds class ids 9"),
    ],
)
def test_bad_samples_are_one_clear_line(changes, message: str) -> None:
    answer = Segmentation((12, 16), VOCABULARY, semantic=np.zeros((12, 16), dtype=np.int32))
    with pytest.raises(DataError, match=message):
        evaluate_semantic(lambda sample: answer, Changed(**changes))


def test_empty_data_sets_and_unknown_samples() -> None:
    with pytest.raises(DataError, match="has no images"):
        evaluate_semantic(perfect, Tiny(count=0))
    with pytest.raises(SegtuneError, match="has no sample 'image-9'"):
        evaluate_semantic(perfect, Tiny(), examples=["image-9"])
