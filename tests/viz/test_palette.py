from __future__ import annotations

import numpy as np
import pytest

from segtune.types import Concept, Vocabulary
from segtune.viz.palette import class_colors, coloured, palette


@pytest.mark.parametrize("num_classes", [1, 2, 64, 65, 300, 1000])
def test_colours_are_distinct_and_do_not_depend_on_their_number(num_classes: int) -> None:
    colors = palette(num_classes)
    assert colors.shape == (num_classes, 3)
    assert colors.dtype == np.uint8
    assert len(np.unique(colors, axis=0)) == num_classes
    np.testing.assert_array_equal(colors, palette(1000)[:num_classes])


def test_many_classes_repeat_and_results_are_not_shared() -> None:
    assert palette(3000).shape == (3000, 3)
    palette(5)[:] = 0
    assert palette(5).any()


def test_the_first_colours_are_far_apart() -> None:
    colors = palette(20).astype(int)
    distance = np.abs(colors[:, None] - colors[None]).sum(-1) + 999 * np.eye(20, dtype=int)
    assert distance.min() > 40


def test_own_colours_win() -> None:
    vocabulary = Vocabulary((Concept("a"), Concept("b", color=(1, 2, 3)), Concept("c")))
    colors = class_colors(vocabulary)
    assert colors[1].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(colors[[0, 2]], palette(3)[[0, 2]])
    assert palette(3)[1].tolist() != [1, 2, 3]


def test_a_coloured_vocabulary_has_the_same_colours() -> None:
    words = Vocabulary((Concept("sky", color=(1, 2, 3)), Concept("sea")), name="both")
    filled = coloured(words)
    assert filled.name == "both"
    assert [concept.color for concept in filled] == [tuple(c) for c in class_colors(words).tolist()]
    assert filled.concepts[0] == words.concepts[0]
