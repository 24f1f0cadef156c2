"""The tokenizer of the bundled CLIP: OpenAI CLIP's rules with a vocabulary of about two thousand.

Lower case, byte-level pieces with an end-of-word mark, `<|startoftext|>` and `<|endoftext|>` as the
two last ids, padding with the latter. All 256 bytes are in the vocabulary, so no word is unknown;
the words of the synthetic world and those of `words.txt` mostly are one or two tokens. The result
is an ordinary `transformers.CLIPTokenizer`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import pairwise

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from segtune.errors import SegtuneError

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"


def train_tokenizer(
    captions: Iterable[str], *, vocab_size: int, context_length: int
) -> CLIPTokenizer:
    """Returns a CLIP tokenizer whose merges are learned from `captions` and `common_words()`.

    The same captions give the same tokenizer.

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
    merges = _learn_merges([*captions, *common_words()], num_merges)
    pieces += [left + right for left, right in merges]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, START, END]))}
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type]  # pairs, as in tokenizer.json
        model_max_length=context_length,
        padding_side="right",
    )


def common_words() -> Iterator[str]:
    """Yields the words of `words.txt`: everyday English and class names of common benchmarks."""
    text = files("segtune.trainers.bundled.clip").joinpath("words.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            yield from line.partition(":")[2].split()


def _learn_merges(sentences: Iterable[str], num_merges: int) -> list[tuple[str, str]]:
    """Returns up to `num_merges` merges, most frequent first, ties in the order of the pieces.

    The trainer of `tokenizers` is not used: it breaks ties by the order of a hash map, so that two
    runs would number the words differently.
    """
    split = CLIPTokenizer().backend_tokenizer
    counts: Counter[str] = Counter()
    for sentence in sentences:
        text = split.normalizer.normalize_str(sentence)
        counts.update(piece for piece, _ in split.pre_tokenizer.pre_tokenize_str(text))
    words = {word: (*word[:-1], word[-1] + END_OF_WORD) for word in counts}
    frequency: Counter[tuple[str, str]] = Counter()
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for word, pieces in words.items():
        for pair in pairwise(pieces):
            frequency[pair] += counts[word]
            users[pair].add(word)

    merges: list[tuple[str, str]] = []
    while len(merges) < num_merges and frequency:
        best = min(frequency, key=lambda pair: (-frequency[pair], pair))
        if frequency[best] <= 0:
            break
        merges.append(best)
        for word in sorted(users[best]):
            for pair in pairwise(words[word]):
                frequency[pair] -= counts[word]
            words[word] = _merged(words[word], best)
            for pair in pairwise(words[word]):
                frequency[pair] += counts[word]
                users[pair].add(word)
        del frequency[best], users[best]
    return merges


def _merged(pieces: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """Returns the pieces of a word with every occurrence of the pair joined, left to right."""
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return tuple(result)
