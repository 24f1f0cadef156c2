"""Nouns by looking words up: the longest entries of a vocabulary that a caption contains.

Deterministic, offline, and precise by construction: it finds nothing that the vocabulary lacks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from segtune.types import Vocabulary
from segtune.vocabulary.nouns.base import Noun, words_of
from segtune.vocabulary.nouns.singular import singular

_PARTS = re.compile(r"[^\W_]+")


class Lexicon:
    """Longest match over the names and synonyms of a vocabulary, plurals folded.

    Words are compared in lower case and in the singular, and hyphens count as spaces, so "Teddy-
    Bears" is the entry "teddy bear". Matches do not overlap: the leftmost wins, and the longest of
    those that start there. The lemma of a noun is the entry as the vocabulary spells it.

    Args:
        vocabulary: what to look for; negatives are not part of it.

    Example:
        >>> lexicon = Lexicon(Vocabulary.of("dog", "teddy bear", "bear"))
        >>> [noun.lemma for noun in lexicon(["Two teddy bears watch a dog."])[0]]
        ['teddy bear', 'dog']
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._entries: dict[tuple[str, ...], str] = {}
        for concept in vocabulary:
            for name in concept.names:
                if key := _folded(name):
                    self._entries.setdefault(key, " ".join(name.lower().split()))
        self._longest = max(map(len, self._entries), default=0)

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the entries that each caption contains, from left to right."""
        return [self._find(caption) for caption in captions]

    def _find(self, caption: str) -> list[Noun]:
        words = [
            (singular(part[0]), (word.span[0] + part.start(), word.span[0] + part.end()))
            for word in words_of(caption)
            for part in _PARTS.finditer(word.text)
        ]
        nouns = []
        start = 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                found = words[start : start + length]
                lemma = self._entries.get(tuple(word for word, _ in found))
                if lemma is not None:
                    span = (found[0][1][0], found[-1][1][1])
                    nouns.append(Noun.of(caption[slice(*span)], span, lemma=lemma))
                    start += length
                    break
            else:
                start += 1
        return nouns


def _folded(name: str) -> tuple[str, ...]:
    return tuple(singular(word) for word in _PARTS.findall(name.lower()))
