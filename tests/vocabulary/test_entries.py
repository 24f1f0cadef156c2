from typing import Any

import pytest

from segtune.errors import SegtuneError
from segtune.types import Concept
from segtune.vocabulary.entries import comma_list, concept_from, vocabulary_from


@pytest.mark.parametrize(
    ("entry", "concept"),
    [
        ("road", Concept("road")),
        (" traffic   light ", Concept("traffic light")),
        ("car | automobile|auto", Concept("car", ("automobile", "auto"))),
        ("car | car", Concept("car")),
        ({"name": "sky", "kind": "stuff"}, Concept("sky", kind="stuff")),
        ({"name": "sky", "isthing": 0, "id": 187}, Concept("sky", kind="stuff")),
        ({"name": "car | auto", "synonyms": "van | auto"}, Concept("car", ("auto", "van"))),
        (
            {"name": "car", "synonyms": ["auto"], "group": "seen"},
            Concept("car", ("auto",), group="seen"),
        ),
        ({"name": "car", "color": [1, 2, 3]}, Concept("car", color=(1, 2, 3))),
        ({"name": "car", "color": "#0a0B10"}, Concept("car", color=(10, 11, 16))),
        (Concept("car"), Concept("car")),
        (7, Concept("7")),
        (1.5, Concept("1.5")),
        ({"name": 7}, Concept("7")),
        ({"name": "sky", "isthing": "no"}, Concept("sky", kind="stuff")),
        ({"name": "sky", "isthing": None, "kind": None}, Concept("sky")),
        ({"name": "car", "color": None}, Concept("car")),
        ({"name": "car", "color": ["1", "2", "3"]}, Concept("car", color=(1, 2, 3))),
    ],
)
def test_concept_from(entry: Any, concept: Concept) -> None:
    assert concept_from(entry) == concept


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "has an empty name"),
        ("car |", "the entry 'car |' has an empty name"),
        (False, "vocabulary entry False is not understood; .* put it in quotes"),
        (None, "vocabulary entry None is not understood; .* put it in quotes"),
        ([], r"vocabulary entry \[\] is not understood"),
        ({"name": True}, "is not understood"),
        ({"label": "car"}, "a mapping with a 'name'"),
        ({"name": "car", "colour": "red"}, "'car' has the unknown key 'colour'; possible keys are"),
        ({"name": "car", "kind": "object"}, "kind 'object'; expected 'thing' or 'stuff'"),
        ({"name": "car", "color": [1, 2, 300]}, "the color .*; expected"),
        ({"name": "car", "color": "red"}, "the color 'red'; expected"),
    ],
)
def test_concept_from_explains(entry: Any, message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        concept_from(entry)


def test_comma_list() -> None:
    vocabulary = comma_list("road, car | auto, !shadow, tree,", name="x")
    assert vocabulary.names == ("road", "car", "tree")
    assert vocabulary.concepts[1].synonyms == ("auto",)
    assert (vocabulary.negatives, vocabulary.name) == (("shadow",), "x")


@pytest.mark.parametrize(
    "content",
    [
        ["sky", "road"],
        {"classes": ["sky", {"name": "road"}]},
        {"names": {0: "sky", 1: "road"}},
        {"names": {"1": "road", "0": "sky"}},
        {"id2label": {"0": "sky", "1": "road"}},
        {"categories": [{"id": 3, "name": "sky"}, {"id": 9, "name": "road"}]},
        {0: "sky", 1: "road"},
    ],
)
def test_vocabulary_from(content: object) -> None:
    vocabulary = vocabulary_from(content, name="x")
    assert (vocabulary.names, vocabulary.name) == (("sky", "road"), "x")


def test_vocabulary_from_with_name_and_negatives() -> None:
    content = {"name": "street", "classes": ["road"], "negatives": ["shadow", "glare"]}
    vocabulary = vocabulary_from(content, name="x")
    assert (vocabulary.name, vocabulary.negatives) == ("street", ("shadow", "glare"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the vocabulary is empty"),
        (None, "holds NoneType; expected a list"),
        ("road", "holds str; expected a list"),
        ({"words": ["road"]}, "none of the keys classes, names"),
        ({"names": {0: "a", 2: "b"}}, "run from 0 to 2 with gaps"),
        (["road", "Road"], "names 'road' more than once"),
        ({"classes": ["road"], "negatives": ["road"]}, "both a class and a negative"),
    ],
)
def test_vocabulary_from_explains(content: object, message: str) -> None:
    with pytest.raises(SegtuneError, match=message):
        vocabulary_from(content, name="x")
