import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.clip.text import bare_tokens, encode_vectors, word_vectors
from segtune.errors import SegtuneError
from tests.goldens import close


def test_word_vectors_of_a_sentence_give_the_embedding_of_the_sentence(tiny_clip):
    texts = ["a dog.", "grass", "a very long name of a class"]
    with torch.no_grad():
        vectors = [word_vectors(tiny_clip, tiny_clip.tokenize([text])[0]) for text in texts]
        close(encode_vectors(tiny_clip, vectors), tiny_clip.encode_text(tiny_clip.tokenize(texts)))


def test_longer_company_changes_nothing(tiny_clip):
    short = word_vectors(tiny_clip, tiny_clip.tokenize(["dog"])[0])
    long = word_vectors(tiny_clip, tiny_clip.tokenize(["a" * 50])[0])
    with torch.no_grad():
        close(encode_vectors(tiny_clip, [short, long])[:1], encode_vectors(tiny_clip, [short]))


def test_gradients_reach_the_vectors(tiny_clip):
    vectors = word_vectors(tiny_clip, tiny_clip.tokenize(["dog"])[0]).detach().requires_grad_()
    F.normalize(encode_vectors(tiny_clip, [vectors]), dim=-1)[0, 0].backward()
    assert (vectors.grad.abs().sum(1) > 0).all()


def test_bare_tokens_have_no_start_and_no_end(tiny_clip):
    assert bare_tokens(tiny_clip, "ab").tolist() == [1, 2]


def test_no_sentence_and_one_that_is_too_long(tiny_clip):
    assert encode_vectors(tiny_clip, []).shape == (0, 16)
    with pytest.raises(SegtuneError, match="65 tokens long but tiny-clip reads 64"):
        encode_vectors(tiny_clip, [torch.zeros(65, 32)])
