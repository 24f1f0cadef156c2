import pytest

from segtune.vocabulary.nouns.rules import BARE_SCORE, RuleNouns


@pytest.mark.parametrize(
    ("caption", "lemmas"),
    [
        ("a dog", ["dog"]),
        ("a man riding a horse", ["man", "horse"]),
        ("two parked cars", ["car"]),
        ("a parking meter", ["parking meter"]),
        ("a painting on a brick building", ["painting", "brick building"]),
        ("an orange on an orange plate", ["orange", "plate"]),
        ("a dog, cat and bird", ["dog", "cat", "bird"]),
        ("the cat in front of the door", ["cat", "door"]),
        ("a woman's umbrella", ["woman's", "umbrella"]),
        ("slowly moving", []),
        ("she has been there", []),
        ("a striped red star", ["star"]),
        ("a zigzag purple arrow, two stripy wide boxes", ["arrow", "box"]),
        ("a child's red bicycle", ["child's", "bicycle"]),
        ("in the park two dogs play", ["park", "dog"]),
        ("a sky, blue water", ["sky", "water"]),
        ("a watch on a shelf", ["watch", "shelf"]),
        ("the man watches the train", ["man", "train"]),
        ("12 boats near 3 piers", ["boat", "pier"]),
        ("a bed, a sled and a fly", ["bed", "sled", "fly"]),
        ("", []),
    ],
)
def test_lemmas(caption, lemmas):
    assert [noun.lemma for noun in RuleNouns()([caption])[0]] == lemmas


def test_words_one_by_one():
    nouns = RuleNouns(compounds=False)(["a baseball player"])[0]
    assert [noun.lemma for noun in nouns] == ["baseball", "player"]


def test_spans_and_scores():
    caption = "Dogs chase the old Tennis Balls."
    first, second = RuleNouns()([caption])[0]
    assert caption[slice(*second.span)] == "Tennis Balls"
    assert (first.score, second.score) == (BARE_SCORE, 1.0)
    assert first.text == "dogs chase"  # an unknown verb is taken for a noun
