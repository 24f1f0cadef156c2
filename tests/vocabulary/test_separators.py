"""Words in one line: what separates them, and what is asked where it could be two things."""

import logging

import pytest

from segtune.errors import SegtuneError
from segtune.vocabulary.separators import has_separator, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("road", ["road"]),
        (" road , car | auto, tree,", ["road", "car | auto", "tree"]),
        ("road; car ;tree", ["road", "car", "tree"]),
        ("road; car;", ["road", "car"]),
        ("道路\uff0c汽车\uff0c树", ["道路", "汽车", "树"]),
        ("道路\u3001汽车", ["道路", "汽车"]),
        ("道路\uff1b汽车", ["道路", "汽车"]),
        ("طريق\u060c سيارة", ["طريق", "سيارة"]),
        ("طريق\u061b سيارة", ["طريق", "سيارة"]),
        ("road, 汽车\uff0c树", ["road", "汽车", "树"]),
        ("cat. dog. tree.", ["cat", "dog", "tree"]),
        ("cat. dog.", ["cat", "dog"]),
        ("cat . dog . tree .", ["cat", "dog", "tree"]),
        ("cat . dog", ["cat", "dog"]),
        ("cat. dog. tree", ["cat", "dog", "tree"]),
        ("cat.", ["cat"]),
        ("U.S.A.", ["U.S.A."]),
        ("St. Bernard,", ["St. Bernard"]),
        ("St. Bernard, cat", ["St. Bernard", "cat"]),
        ("road, car, tree.", ["road", "car", "tree"]),
        ("road, U.S.A.", ["road", "U.S.A."]),
        ("version 1.5", ["version 1.5"]),
        ("1.5, 2.5", ["1.5", "2.5"]),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("road,, car", "empty entry between two commas"),
        ("road;; car", "empty entry between two commas"),
        (", road", "empty entry"),
        ("wall, door; double door", "has commas and semicolons; type commas between classes"),
        ("St. Bernard", "is 'St. Bernard' one class or two. type 'St. Bernard,' for one"),
    ],
)
def test_questions(text, message):
    with pytest.raises(SegtuneError, match=message):
        split_words(text)


@pytest.mark.parametrize("text", ["cat. dog.", "cat; dog", "cat\uff0c dog"])
def test_other_separators_are_told(text, caplog):
    with caplog.at_level(logging.INFO):
        split_words(text)
        split_words("cat, dog")
    assert len(caplog.records) == 1
    assert "words are separated by" in caplog.text
    assert "cat, dog" in caplog.text


def test_has_separator():
    assert has_separator("a, b")
    assert has_separator("a\u060cb")
    assert not has_separator("a | b")
