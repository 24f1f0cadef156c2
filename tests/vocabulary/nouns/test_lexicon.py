import pytest

from segtune.types import Concept, Vocabulary
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.nouns.lexicon import Lexicon


@pytest.fixture
def lexicon():
    concepts = (Concept("dog"), Concept("teddy bear"), Concept("bear", ("grizzly",)))
    return Lexicon(Vocabulary((*concepts, Concept("T-Shirt"), Concept("glass"))))


@pytest.mark.parametrize(
    ("caption", "lemmas"),
    [
        ("A dog and a teddy bear.", ["dog", "teddy bear"]),
        ("Dogs, TEDDY-BEARS and bears", ["dog", "teddy bear", "bear"]),
        ("teddy, bear", ["teddy bear"]),
        ("a teddy and a bear", ["bear"]),
        ("the dog's bear's den", ["dog", "bear"]),
        ("two grizzlies in t-shirts", ["grizzly", "t-shirt"]),
        ("hotdogs", []),
        ("", []),
    ],
)
def test_longest_match_with_plurals_folded(lexicon, caption, lemmas):
    assert [noun.lemma for noun in lexicon([caption])[0]] == lemmas


def test_the_text_is_what_the_caption_says(lexicon):
    caption = "Some Teddy Bears."
    noun = lexicon([caption])[0][0]
    assert (noun.text, caption[slice(*noun.span)]) == ("teddy bears", "Teddy Bears")


def test_every_name_of_a_benchmark_finds_itself():
    vocabulary = builtin("coco_80")
    found = Lexicon(vocabulary)([f"a {name}." for name in vocabulary.names])
    assert [nouns[0].lemma for nouns in found] == list(vocabulary.names)
