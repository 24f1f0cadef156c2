"""The tokenizer of the bundled CLIP: OpenAI CLIP's rules with a vocabulary of about two thousand.

Lower case, byte-level pieces with an end-of-word mark, `<|startoftext|>` and `<|endoftext|>` as the
two last ids, padding with the latter. All 256 bytes are in the vocabulary, so no word is unknown;
the words of the synthetic world and those of `words.txt` mostly are one or two tokens. The result
is an ordinary `transformers.CLIPTokenizer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from segtune.errors import SegtuneError

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"


def train_tokenizer(
    captions: Iterable[str], *, vocab_size: int, context_length: int
) -> CLIPTokenizer:
    """Returns a CLIP tokenizer whose merges are learned from `captions` and `common_words()`.

    The same captions in the same order give the same tokenizer.

    Args:
        captions: sentences; the more often a word occurs, the sooner it becomes one token.
        vocab_size: number of ids, including 512 byte pieces and the two special tokens.
        context_length: longest sentence in tokens, special tokens included.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = letters + [letter + END_OF_WORD for letter in letters]
    num_merges = vocab_size - len(pieces) - 2
    if num_merges < 0:
        raise SegtuneError(f"vocab_size is {vocab_size}; expected at least {len(pieces) + 2}")
    merges = _learn_merges([*captions, *common_words()], letters, num_merges)
    for left, right in merges:
        pieces.append(left + right)
    vocab = {piece: index for index, piece in enumerate([*pieces, START, END])}
    return CLIPTokenizer(
        vocab=vocab, merges=merges, model_max_length=context_length, padding_side="right"
    )


def common_words() -> Iterator[str]:
    """Yields the words of `words.txt`: everyday English and the class names of common benchmarks."""
    text = files("segtune.zoo").joinpath("words.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            yield from line.partition(":")[2].split()


def _learn_merges(
    sentences: list[str], letters: list[str], num_merges: int
) -> list[tuple[str, str]]:
    """Returns up to `num_merges` distinct merges, most frequent first."""
    raw = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD))
    rules = CLIPTokenizer().backend_tokenizer
    raw.normalizer, raw.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(letters) + num_merges,
        end_of_word_suffix=END_OF_WORD,
        initial_alphabet=letters,
        show_progress=False,
    )
    raw.train_from_iterator(sentences, trainer)
    merges, made = [], set()
    for left, right in json.loads(raw.to_str())["model"]["merges"]:
        if left + right not in made and len(merges) < num_merges:
            made.add(left + right)
            merges.append((left, right))
    return merges
