"""What a noun is, what every extractor does, and the clean-up after all of them.

Source: spec reconstruction of the noun parsing of OVSeg (Liang et al., CVPR 2023, section 3.2),
which takes every word that NLTK tags as a noun; its code was not released.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from segtune.vocabulary.nouns.singular import singular

GENERIC = frozenset(
    {
        *("photo", "photograph", "picture", "image", "view", "shot", "scene", "close-up"),
        *("group", "couple", "bunch", "pair", "set", "lot", "number", "row", "variety"),
        *("side", "top", "bottom", "front", "back", "background", "foreground", "middle"),
        *("center", "centre", "edge", "end", "part", "area", "kind", "type", "thing"),
    }
)
"""Head nouns that name no region of an image; dropped only where that is asked for."""

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")  # noqa: RUF001 (captions have curly apostrophes)
_POSSESSIVE = re.compile(r"['’](?:s)?$")  # noqa: RUF001


@dataclass(frozen=True)
class Noun:
    """One noun, or compound such as "traffic light", of a caption.

    Attributes:
        text: the words as the caption has them, in lower case.
        lemma: its dictionary form, "traffic light" for "traffic lights".
        span: (start, end) characters of the words in the caption; (0, 0) where they are not in it.
        head: last word of the lemma.
        score: 0..1, how sure the backend is; 1 where it does not say.
    """

    text: str
    lemma: str
    span: tuple[int, int]
    head: str
    score: float = 1.0

    @classmethod
    def of(
        cls, text: str, span: tuple[int, int], *, lemma: str | None = None, score: float = 1.0
    ) -> Noun:
        """Returns a noun in lower case; its lemma is the phrase with a singular last word.

        Example:
            >>> Noun.of("Traffic Lights", (4, 18))
            Noun(text='traffic lights', lemma='traffic light', span=(4, 18), head='light', score=1.0)
        """  # noqa: E501 (what Python prints)
        words = text.lower().split()
        if lemma is None:
            lemma = " ".join((*words[:-1], *map(singular, words[-1:])))
        lemma = " ".join(lemma.lower().split())
        return cls(" ".join(words), lemma, span, lemma.rpartition(" ")[2], score)


class NounExtractor(Protocol):
    """Finds the nouns of captions."""

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the nouns of each caption, in the order of the sentence."""
        ...


@dataclass(frozen=True)
class Word:
    """A word of a caption in lower case, and the (start, end) characters where it stands."""

    text: str
    span: tuple[int, int]


def words_of(caption: str) -> list[Word]:
    """Returns the words of a caption; hyphens and apostrophes inside a word stay.

    Example:
        >>> [word.text for word in words_of("A man's T-shirt, and 2 dogs.")]
        ['a', "man's", 't-shirt', 'and', '2', 'dogs']
    """
    return [Word(match[0].lower(), match.span()) for match in _WORD.finditer(caption)]


def located(words: str, caption: str, *, lemma: str | None = None, score: float = 1.0) -> Noun:
    """Returns the noun of words that somebody else found in a caption, with their place in it."""
    pattern = r"(?<!\w)" + r"\W+".join(map(re.escape, words.split())) + r"(?!\w)"
    match = re.search(pattern, caption, flags=re.IGNORECASE)
    return Noun.of(words, match.span() if match else (0, 0), lemma=lemma, score=score)


def extract_nouns(
    extractor: NounExtractor, captions: Sequence[str], *, drop_generic: bool = False
) -> list[list[Noun]]:
    """Returns the nouns of each caption after the clean-up, each lemma once per caption.

    Args:
        extractor: any backend.
        captions: M sentences.
        drop_generic: leave out nouns whose head is in `GENERIC`, such as "picture".
    """
    found = extractor(captions)
    if len(found) != len(captions):
        raise ValueError(f"{len(captions)} captions gave {len(found)} lists of nouns")
    return [tidied(nouns, drop_generic=drop_generic) for nouns in found]


def tidied(nouns: Iterable[Noun], *, drop_generic: bool = False) -> list[Noun]:
    """Returns nouns in lower case without possessives, one-letter words and numbers, each once.

    Example:
        >>> nouns = [Noun.of("Dog's", (0, 5)), Noun.of("2 cats", (6, 12)), Noun.of("x", (13, 14))]
        >>> [noun.text for noun in tidied(nouns)]
        ['dog', 'cats']
    """
    kept: dict[str, Noun] = {}
    for noun in nouns:
        clean = _clean(noun)
        if clean is None or (drop_generic and clean.head in GENERIC):
            continue
        kept.setdefault(clean.lemma, clean)
    return list(kept.values())


def _clean(noun: Noun) -> Noun | None:
    """A noun of real words only; None where nothing is left."""
    words = [_POSSESSIVE.sub("", word) for word in noun.text.lower().split()]
    lemma = [_POSSESSIVE.sub("", word) for word in noun.lemma.lower().split()]
    words, lemma = ([w for w in part if _is_word(w)] for part in (words, lemma))
    if not words or not lemma:
        return None
    text, form = " ".join(words), " ".join(lemma)
    if text != noun.text.lower() and lemma == words:  # a plural hid behind the possessive
        return Noun.of(text, noun.span, score=noun.score)
    return replace(noun, text=text, lemma=form, head=lemma[-1])


def _is_word(word: str) -> bool:
    return len(word) > 1 and not re.fullmatch(r"[\d.,:/-]+(?:st|nd|rd|th)?", word)
