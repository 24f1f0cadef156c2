import pytest

from segtune.backbones.reading.tokens import token_ids
from segtune.errors import SegtuneError, WeightsError


def _tokenizer(sentence):
    return {"input_ids": [1, *(ord(letter) for letter in sentence), 2]}


def test_sentences_are_padded_to_the_longest():
    found = token_ids(_tokenizer, ["a", "bcd"], context=5, name="clip")
    assert found.tolist() == [[1, 97, 2, 0, 0], [1, 98, 99, 100, 2]]
    assert token_ids(_tokenizer, [], context=5, name="clip").shape == (0, 0)


def test_what_cannot_be_read():
    with pytest.raises(SegtuneError, match="6 tokens long but clip reads 5"):
        token_ids(_tokenizer, ["abcd"], context=5, name="clip")
    with pytest.raises(WeightsError, match="clip has no tokenizer files"):
        token_ids(None, ["a"], context=5, name="clip")
