import numpy as np
import pytest

from segtune.engine.words import embed_noun, image_nouns
from segtune.errors import WeightsError
from segtune.types import Vocabulary
from segtune.vocabulary.nouns.lexicon import Lexicon
from segtune.vocabulary.templates import read_templates
from tests.engine.worlds import clip

LEXICON = Lexicon(Vocabulary.of("dog", "cat", "picture"))
CAPTIONS = [("two cats", "a picture of a cat and a dog"), (), ("nothing",), ("dogs",)]


def found(**options):
    images = image_nouns(CAPTIONS, LEXICON, **options)
    return [[(noun.text, noun.caption) for noun in nouns] for nouns in images]


def test_first_caption_or_all_with_each_noun_once():
    assert found() == [[("cat", 0)], [], [], [("dog", 0)]]
    assert found(use=None) == [[("cat", 0), ("picture", 1), ("dog", 1)], [], [], [("dog", 0)]]
    assert found(use=5) == found(use=None)


def test_generic_nouns_and_wording():
    assert found(use=None, drop_generic=True)[0] == [("cat", 0), ("dog", 1)]
    assert found(wording="caption")[0] == [("cats", 0)]


def test_all_captions_go_to_the_extractor_at_once():
    calls = []

    def extractor(captions):
        calls.append(list(captions))
        return LEXICON(captions)

    image_nouns(CAPTIONS, extractor, use=None)
    assert calls == [[c for each in CAPTIONS for c in each]]
    assert image_nouns([(), ()], extractor) == [[], []]
    assert len(calls) == 1


def test_embeddings_do_not_depend_on_company():
    model, templates = clip(), read_templates("vild_14")
    alone = embed_noun(model, templates, "cat")
    embed_noun(model, templates, "a much longer noun")
    again = embed_noun(model, templates, "cat")
    assert (alone.shape, alone.dtype) == ((16,), np.float16)
    np.testing.assert_array_equal(alone, again)
    np.testing.assert_allclose(np.linalg.norm(alone.astype(float)), 1, atol=2e-3)


def test_a_noun_that_is_too_long_does_not_fit_and_other_problems_are_raised():
    model, templates = clip(), read_templates("name")
    assert embed_noun(model, templates, "cat") is not None
    assert embed_noun(model, templates, "cat" * 50) is None
    model.tokenizer = None
    with pytest.raises(WeightsError, match="has no tokenizer files"):
        embed_noun(model, templates, "dog")
