"""Label maps of a data set against answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segtune.errors import DataError, SegtuneError
from segtune.eval.judging import ScoredModel, judge
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import Sample, Segmentation, Vocabulary
from tests.eval.worlds import VOCABULARY, Changed, Tiny, perfect, wrong_by_index


def test_scores_equal_one_matrix_over_all_images() -> None:
    dataset = Tiny()
    result = judge("semantic", ScoredModel(in_words=wrong_by_index), dataset)
    matrix = ConfusionMatrix(4)
    for index in range(len(dataset)):
        sample = dataset[index]
        matrix.update(wrong_by_index(sample).semantic, sample.semantic)
    assert result.confusion is not None
    np.testing.assert_array_equal(result.confusion.counts, matrix.counts)
    assert result.scores.summary() == matrix.scores(VOCABULARY).summary()
    assert list(result.image_scores) == [f"image-{i}" for i in range(5)]
    assert [row["class"] for row in result.class_table()] == list(VOCABULARY.names)
    assert np.isnan(result.class_table()[3]["IoU"])


def test_pictures_are_both_maps() -> None:
    model = ScoredModel(in_words=perfect)
    example = judge("semantic", model, Tiny(), examples=1, example_side=8).examples[0]
    np.testing.assert_array_equal(example.truth.semantic, example.prediction.semantic)
    truth = Tiny()[int(example.sample_id[-1])].semantic
    np.testing.assert_array_equal(example.truth.semantic, truth[::2, ::2])


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
        judge("semantic", ScoredModel(in_words=predict), Tiny())
    assert "\n" not in str(caught.value)


class LastUnlabelled(Tiny):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, semantic=None) if index == 4 else sample


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (LastUnlabelled(), "'image-4' has no semantic map"),
        (
            Changed(Tiny(), [0], image=np.zeros((5, 7, 3), np.uint8)),
            "image is 7x5 but its label map is 16x12",
        ),
        (
            Changed(Tiny(), [0], semantic=np.full((12, 16), 9, np.int32)),
            "'image-0': the truth holds class ids 9",
        ),
    ],
)
def test_bad_samples_are_one_clear_line(dataset, message: str) -> None:
    answer = Segmentation((12, 16), VOCABULARY, semantic=np.zeros((12, 16), dtype=np.int32))
    with pytest.raises(DataError, match=message):
        judge("semantic", ScoredModel(in_words=lambda sample: answer), dataset)
