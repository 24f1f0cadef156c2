from dataclasses import replace

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.eval.semantic import ConfusionMatrix
from segtune.types import IGNORE, Concept, Segment, Segmentation, Vocabulary
from segtune.vocabulary.scoring_map import ScoringMap

WORDS = Vocabulary.of("cat", "table", "sky", "grass", name="words")
CLASSES = Vocabulary.of("background", "diningtable", "cat", name="classes")


@pytest.fixture
def counts_as() -> ScoringMap:
    return ScoringMap.by_name(WORDS, CLASSES, same={"table": "diningtable"}, others="background")


def test_words_count_as_the_class_of_their_name_or_as_the_rest(counts_as: ScoringMap) -> None:
    assert counts_as.class_ids == (2, 1, 0, 0)
    assert not counts_as.is_one_to_one
    assert counts_as.counted(np.array([[0, 1], [2, 3], [IGNORE, 0]])).tolist() == [
        [2, 1],
        [0, 0],
        [IGNORE, 2],
    ]


def test_scores_by_hand(counts_as: ScoringMap) -> None:
    """Two words for background are one class, and confusing them is no mistake."""
    answer = Segmentation((1, 8), WORDS, np.array([[2, 3, 2, 0, 0, 1, 1, IGNORE]], np.int32))
    truth = np.array([[0, 0, 2, 2, 2, 1, 0, 1]])
    scored = counts_as.of_answer(answer)
    assert scored.vocabulary == CLASSES
    matrix = ConfusionMatrix(3)
    assert scored.semantic is not None
    matrix.update(scored.semantic, truth)
    scores = matrix.scores(CLASSES)
    # background: 2 hits, 1 cat called sky, 1 background called table -> 2 / 4
    # diningtable: 1 hit, 1 background called table, 1 table without an answer -> 1 / 3
    # cat: 2 hits, 1 called sky -> 2 / 3
    np.testing.assert_allclose(scores.iou, [2 / 4, 1 / 3, 2 / 3])
    assert scores.mean_iou == pytest.approx(0.5)
    assert scores.pixel_accuracy == pytest.approx(5 / 8)


def test_segments_need_one_word_per_class(counts_as: ScoringMap) -> None:
    segment = Segment(0, 1.0, (0, 0, 1, 1), np.ones((1, 1), bool))
    answer = Segmentation((1, 1), WORDS, None, (segment,))
    with pytest.raises(SegtuneError, match="evaluate this protocol with task semantic"):
        counts_as.of_answer(answer)
    others = Vocabulary.of("a", "b", "c", "d")
    renamed = ScoringMap.same_order(WORDS, others).of_answer(answer)
    assert (renamed.vocabulary, renamed.segments) == (others, (segment,))


def test_other_names_for_the_words(counts_as: ScoringMap) -> None:
    words = replace(CLASSES, concepts=(Concept("rest", group="seen"), *CLASSES.concepts[1:]))
    renamed = ScoringMap.same_order(words, CLASSES).called(
        Vocabulary.of("b", "c", "d", name="mine")
    )
    assert renamed.words.names == ("b", "c", "d")
    assert renamed.words.ids_in("seen") == (0,)
    assert renamed.classes == CLASSES
    with pytest.raises(SegtuneError, match="mine has 1 names for the 4 words of words"):
        counts_as.called(Vocabulary.of("b", name="mine"))


def test_bad_maps() -> None:
    with pytest.raises(SegtuneError, match="words has 4 names for the 3 classes of classes"):
        ScoringMap.same_order(WORDS, CLASSES)
    with pytest.raises(SegtuneError, match="'table' is no class of classes"):
        ScoringMap.by_name(WORDS, CLASSES)
    with pytest.raises(SegtuneError, match=r"expected 0\.\.2"):
        ScoringMap(WORDS, CLASSES, (0, 1, 2, 3))
    with pytest.raises(SegtuneError, match="2 class ids for 4 words"):
        ScoringMap(WORDS, CLASSES, (0, 1))
