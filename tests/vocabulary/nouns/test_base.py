import pytest

from segtune.vocabulary.nouns.base import Noun, extract_nouns, located, tidied, words_of
from segtune.vocabulary.nouns.given import FunctionNouns


def test_words_keep_hyphens_apostrophes_and_their_place():
    caption = "A man's T-shirt (red), 3 café tables"
    words = words_of(caption)
    assert [w.text for w in words] == ["a", "man's", "t-shirt", "red", "3", "café", "tables"]
    assert all(caption[slice(*w.span)].lower() == w.text for w in words)


def test_a_noun_has_a_lemma_and_a_head():
    noun = Noun.of("Traffic Lights", (2, 16))
    assert (noun.text, noun.lemma, noun.head) == ("traffic lights", "traffic light", "light")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dog's", ("dog", "dog")),
        ("dogs'", ("dogs", "dog")),
        ("man\u2019s", ("man", "man")),
        ("7", None),
        ("3rd", None),
        ("x", None),
        ("2 dogs", ("dogs", "dog")),
        ("t-shirts", ("t-shirts", "t-shirt")),
    ],
)
def test_clean_up_of_one_noun(text, expected):
    nouns = tidied([Noun.of(text, (0, len(text)))])
    assert [(n.text, n.lemma) for n in nouns] == ([expected] if expected else [])


def test_each_lemma_once_and_in_order():
    nouns = [Noun.of(text, (0, 1)) for text in ("cats", "dog", "cat", "Dogs")]
    assert [noun.text for noun in tidied(nouns)] == ["cats", "dog"]


def test_generic_heads_stay_unless_dropped():
    nouns = [Noun.of(text, (0, 1)) for text in ("picture", "side view", "dog", "photos")]
    assert len(tidied(nouns)) == 4
    assert [noun.text for noun in tidied(nouns, drop_generic=True)] == ["dog"]


def test_located_finds_whole_words_in_any_case():
    assert located("dog", "A hotdog and a Dog").span == (15, 18)
    assert located("fire hydrant", "a Fire  Hydrant").span == (2, 15)
    assert located("cat", "a dog").span == (0, 0)


def test_a_backend_must_answer_every_caption():
    class Broken:
        def __call__(self, captions):
            return []

    with pytest.raises(ValueError, match="2 captions gave 0 lists"):
        extract_nouns(Broken(), ["a", "b"])


def test_nothing_gives_nothing():
    assert tidied([]) == []
    assert extract_nouns(FunctionNouns(lambda captions: []), []) == []
