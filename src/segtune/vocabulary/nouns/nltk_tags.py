"""Nouns as NLTK's tagger finds them: every word tagged NN, NNS, NNP or NNPS, as OVSeg does.

The nearest to the published pairs. The tagger's data is installed by the user; the words are cut by
NLTK's own rules, for which no data is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segtune.errors import SegtuneError
from segtune.vocabulary.nouns.base import Noun

TAGS = ("NN", "NNS", "NNP", "NNPS")
DATA = "averaged_perceptron_tagger_eng"


class NltkNouns:
    """Single words that NLTK tags as nouns.

    Args:
        compounds: join neighbouring nouns, "baseball player"; the published pairs have the words
            one by one.

    Raises:
        SegtuneError: NLTK or the data of its tagger is not installed.
    """

    def __init__(self, *, compounds: bool = False) -> None:
        try:
            import nltk
            from nltk.tokenize import NLTKWordTokenizer
        except ImportError:
            raise SegtuneError(
                "noun backend nltk needs NLTK; type pip install 'segtune[text]'"
            ) from None
        self.compounds = compounds
        self._nltk: Any = nltk
        self._tokenizer: Any = NLTKWordTokenizer()
        try:
            nltk.pos_tag(["dog"])
        except LookupError:
            raise SegtuneError(
                f"NLTK has no data for its tagger; type python -m nltk.downloader {DATA}, or put "
                "a copy into a folder that NLTK_DATA names"
            ) from None

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the nouns of each caption, from left to right."""
        tokens = [self._tokenizer.tokenize(caption) for caption in captions]
        tagged = self._nltk.pos_tag_sents(tokens)
        return [
            self._nouns(caption, words) for caption, words in zip(captions, tagged, strict=True)
        ]

    def _nouns(self, caption: str, tagged: Sequence[tuple[str, str]]) -> list[Noun]:
        groups: list[list[tuple[int, int]]] = []
        place, follows_noun = 0, False
        for word, tag in tagged:
            found = caption.find(word, place)  # quotes are rewritten by the tokenizer
            span = (found, found + len(word)) if found >= 0 else (0, 0)
            place = max(place, span[1])
            is_noun = tag in TAGS and found >= 0 and any(map(str.isalnum, word))
            if is_noun and follows_noun and self.compounds:
                groups[-1].append(span)
            elif is_noun:
                groups.append([span])
            follows_noun = is_noun
        spans = [(group[0][0], group[-1][1]) for group in groups]
        return [Noun.of(caption[start:end], (start, end)) for start, end in spans]
