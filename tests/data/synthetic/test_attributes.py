from itertools import product

import pytest

from segtune.data.synthetic.attributes import (
    COLOURS,
    SHAPES,
    STUFF,
    STUFF_COLOURS,
    TEXTURES,
    Composition,
    base_vocabulary,
    compositions,
)
from segtune.data.synthetic.objects import COLOUR_HSV, SECOND_COLOURS
from segtune.data.synthetic.shapes import OUTLINES
from segtune.data.synthetic.surfaces import SURFACES
from segtune.data.synthetic.textures import PATTERNS


def test_there_are_more_than_300_compositions_and_a_quarter_is_unseen():
    names = [composition.name for composition in compositions()]
    assert len(set(names)) == len(names) == len(SHAPES) * len(TEXTURES) * len(COLOURS) > 300
    share = sum(composition.is_unseen for composition in compositions()) / len(names)
    assert 0.22 < share < 0.28


@pytest.mark.parametrize(
    ("first", "second"), [("shape", "texture"), ("shape", "colour"), ("texture", "colour")]
)
def test_every_pair_of_attributes_occurs_among_the_seen(first, second):
    values = {"shape": SHAPES, "texture": TEXTURES, "colour": COLOURS}
    seen = {
        (getattr(composition, first), getattr(composition, second))
        for composition in compositions()
        if not composition.is_unseen
    }
    assert seen == set(product(values[first], values[second]))


def test_vocabulary_lists_things_then_stuff_with_tags():
    vocabulary = base_vocabulary()
    things = len(compositions())
    assert vocabulary.names[:things] == tuple(c.name for c in compositions())
    assert vocabulary.names[things:] == STUFF
    assert {c.kind for c in vocabulary.concepts[:things]} == {"thing"}
    assert {c.kind for c in vocabulary.concepts[things:]} == {"stuff"}
    unseen = {composition.name for composition in compositions() if composition.is_unseen}
    assert {vocabulary.names[i] for i in vocabulary.ids_in("unseen")} == unseen
    every_name = [name for concept in vocabulary for name in concept.names]
    assert len(set(every_name)) == len(every_name)


def test_every_word_can_be_drawn():
    assert tuple(OUTLINES) == SHAPES
    assert tuple(PATTERNS) == TEXTURES
    assert tuple(COLOUR_HSV) == tuple(SECOND_COLOURS) == COLOURS
    assert tuple(SURFACES) == tuple(STUFF_COLOURS) == STUFF


def test_parse_is_the_inverse_of_name():
    assert all(Composition.parse(c.name) == c for c in compositions())


@pytest.mark.parametrize("name", ["red star", "striped mauve star", "red striped star"])
def test_parse_says_what_is_wrong(name):
    with pytest.raises(ValueError, match=r"striped|attribute"):
        Composition.parse(name)
