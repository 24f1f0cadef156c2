"""Agreement of label maps."""

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.predict.agreement import labels_equal
from segtune.types import Segmentation, Vocabulary

WORDS = Vocabulary.of("sky", "sea")


def result(labels) -> Segmentation:
    semantic = np.array(labels, np.int32)
    return Segmentation(semantic.shape, WORDS, semantic=semantic)


def test_the_share_of_equal_labels():
    a = result([[0, 0, 1, 1]])
    assert labels_equal(a, a) == 1
    assert labels_equal(a, result([[0, 1, 1, -1]])) == 0.5


def test_labels_of_other_images_are_not_compared():
    with pytest.raises(SegtuneError, match="the same image"):
        labels_equal(result([[0, 1]]), result([[0, 1, 1]]))
    with pytest.raises(SegtuneError, match="two label maps"):
        labels_equal(result([[0, 1]]), Segmentation((1, 2), WORDS))
