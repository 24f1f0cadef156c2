import numpy as np
import pytest

from segtune.engine.judge import label_map, owner, precision, verdict
from segtune.types import IGNORE, Concept, Sample
from tests.engine.worlds import objects

STAR = Concept("striped red star", synonyms=("stripy red star",))


@pytest.mark.parametrize(
    ("noun", "concept", "expected"),
    [
        ("striped red star", STAR, "right"),
        ("Striped Red Stars", STAR, "right"),
        ("stripy red star", STAR, "right"),
        ("red star", STAR, "partly"),
        ("star", STAR, "partly"),
        ("stripy star", STAR, "partly"),
        ("blue star", STAR, "wrong"),
        ("star red", STAR, "wrong"),
        ("striped", STAR, "wrong"),
        ("striped stripy star", STAR, "wrong"),
        ("", STAR, "wrong"),
        ("teddy-bears", Concept("teddy bear"), "right"),
        ("bear", Concept("teddy bear"), "partly"),
        ("light", Concept("traffic-light"), "partly"),
    ],
)
def test_verdict(noun, concept, expected):
    assert verdict(noun, concept) == expected


def test_owner_is_the_class_of_most_labelled_pixels():
    labels = np.array([[0, 0, 1, 1, 1, IGNORE, IGNORE]])

    def of(*columns):
        mask = np.zeros(labels.shape, bool)
        mask[0, list(columns)] = True
        return owner(mask, labels)

    assert of(0, 2, 3) == 1
    assert of(0, 1, 2) == 0
    assert of(2, 5) is None
    assert of(2, 3, 5) == 1
    assert of() is None


def test_objects_are_painted_where_there_is_no_map():
    left = np.array([[True, True, False]])
    sample = objects([left, np.array([[False, True, False]])], [4, 2])
    assert label_map(sample).tolist() == [[4, 2, IGNORE]]
    assert label_map(Sample("a", np.zeros((1, 1, 3), np.uint8))) is None


def test_precision_counts_judged_pairs_only():
    found = precision(["right", "partly", "wrong", None, "right"])
    assert (found.exact, found.lenient) == (0.5, 0.75)
    assert (found.judged, found.unlabelled) == (4, 1)
    assert precision([None]) is None
    assert precision([]) is None
