from pathlib import Path

import pytest
from transformers import AutoTokenizer, CLIPTokenizer

from segtune.data.synthetic import base_vocabulary
from segtune.errors import SegtuneError
from segtune.trainers.bundled.clip.captions import training_captions
from segtune.trainers.bundled.clip.tokenizer import common_words, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return train_tokenizer(training_captions(), vocab_size=1792, context_length=32)


def test_ids_follow_clip(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer) == 1792
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1790, 1791)
    ids = tokenizer("A striped RED star").input_ids
    assert ids[0] == 1790
    assert ids[-1] == 1791 == max(ids)
    assert ids == tokenizer("a  striped red star").input_ids


def test_every_word_of_the_world_is_short(tokenizer: CLIPTokenizer) -> None:
    words = {w for c in base_vocabulary() for name in c.names for w in name.split()}
    lengths = {word: len(tokenizer(word).input_ids) - 2 for word in words}
    assert set(lengths.values()) == {1}, {w: n for w, n in lengths.items() if n > 1}


def test_common_words_take_few_tokens(tokenizer: CLIPTokenizer) -> None:
    words = sorted(set(common_words()))
    lengths = [len(tokenizer(word).input_ids) - 2 for word in words]
    assert len(words) > 500
    assert sum(lengths) / len(lengths) < 1.3


@pytest.mark.parametrize("text", ["fjord", "ünïcödé", "日本", "😀", "a1b2", "it's"])
def test_nothing_is_unknown(tokenizer: CLIPTokenizer, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert ids[1:-1].count(tokenizer.unk_token_id) == 0
    restored = tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "")
    assert restored == text


def test_same_captions_give_the_same_tokenizer(tokenizer: CLIPTokenizer) -> None:
    again = train_tokenizer(training_captions(), vocab_size=1792, context_length=32)
    assert again.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("loader", [AutoTokenizer, CLIPTokenizer])
def test_loads_from_its_folder(tokenizer: CLIPTokenizer, tmp_path: Path, loader: type) -> None:
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    loaded = loader.from_pretrained(tmp_path, local_files_only=True)
    batch = ["a photo of a crescent", "zebra, fjord"]
    assert loaded(batch, padding=True).input_ids == tokenizer(batch, padding=True).input_ids
    assert loaded.model_max_length == 32


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(SegtuneError, match="at least 514"):
        train_tokenizer(["a"], vocab_size=500, context_length=8)
