"""Nouns by closed word lists and suffixes; needs no vocabulary, no tagger and no download.

A caption is cut into runs of content words at prepositions, verbs, conjunctions, adverbs and
punctuation. The last word of a run is its head noun, the words before it make a compound with it;
adjectives, colours and numbers in front are left out, as a tagger that keeps nouns would.

Source: spec reconstruction (no published code); no parity with the NLTK nouns of OVSeg. Words of
the open classes that are in no list are taken for nouns, so expect unknown verbs and adjectives
among the answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from segtune.vocabulary.nouns.base import Noun, Word, words_of
from segtune.vocabulary.nouns.word_lists import (
    ADJECTIVES,
    ADVERBS,
    AUXILIARIES,
    COLOURS,
    CONJUNCTIONS,
    DETERMINERS,
    ED_NOUNS,
    FIXED_PHRASES,
    ING_NOUNS,
    LY_NOUNS,
    NOT_ADJECTIVES_AT_THE_END,
    NOUN_OR_VERB,
    NUMBERS,
    PREPOSITIONS,
    PRONOUNS,
    VERBS,
)

BARE_SCORE = 0.5
"""Score of a noun that no determiner, number or adjective introduces."""

_BOUNDARIES = PRONOUNS | PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | ADVERBS


class _Class(Enum):
    DETERMINER = 1  # numbers too
    MODIFIER = 2  # adjectives and colours: in front of nouns, no part of them
    PARTICIPLE = 3  # -ing and -ed after a determiner: "a parking meter", "a striped shirt"
    CONTENT = 4
    BOUNDARY = 5


class RuleNouns:
    """Head nouns and compounds by word lists.

    Args:
        compounds: give "baseball player" as one noun; False gives its words one by one, which is
            what a tagger of single words does.

    Example:
        >>> rules = RuleNouns()
        >>> [noun.lemma for noun in rules(["Two young men are riding brown horses on a sandy beach."])[0]]
        ['man', 'horse', 'beach']
    """  # noqa: E501 (one line of an example)

    def __init__(self, *, compounds: bool = True) -> None:
        self.compounds = compounds

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the nouns of each caption, from left to right."""
        return [self._find(caption) for caption in captions]

    def _find(self, caption: str) -> list[Noun]:
        words = words_of(caption)
        breaks = [_is_break(caption, words, i) for i in range(len(words) + 1)]
        classes = _classify(words, breaks)
        nouns: list[Noun] = []
        run: list[int] = []
        introduced = False  # a determiner or modifier stands in front of the run
        for i, kind in enumerate([*classes, _Class.BOUNDARY]):
            if breaks[i]:
                nouns += self._nouns_of(run, words, classes, caption, introduced)
                run, introduced = [], False
            if kind in (_Class.CONTENT, _Class.PARTICIPLE):
                run.append(i)
                continue
            of_owner = bool(run) and _is_possessive(words[run[-1]].text)
            if of_owner or not (introduced and _adjective_and_noun_follow(i, classes, breaks)):
                nouns += self._nouns_of(run, words, classes, caption, introduced)
            run, introduced = [], kind in (_Class.DETERMINER, _Class.MODIFIER)
        return nouns

    def _nouns_of(
        self,
        run: list[int],
        words: list[Word],
        classes: list[_Class],
        caption: str,
        introduced: bool,
    ) -> list[Noun]:
        """The compound of one run, or its words; participles in front are kept before a noun."""
        while run and classes[run[0]] is _Class.PARTICIPLE and _is_past(words[run[0]].text):
            run = run[1:]  # "a parked car" is a car
        if not run:
            return []
        score = 1.0 if introduced else BARE_SCORE
        parts = _split_at_possessives(run, words)
        groups = parts if self.compounds else [[i] for part in parts for i in part]
        nouns = []
        for group in groups:
            start, end = words[group[0]].span[0], words[group[-1]].span[1]
            nouns.append(Noun.of(caption[start:end], (start, end), score=score))
        return nouns


def _is_break(caption: str, words: Sequence[Word], i: int) -> bool:
    """Whether the sentence starts, ends or has punctuation other than quotes before word i."""
    if i in (0, len(words)):
        return True
    between = caption[words[i - 1].span[1] : words[i].span[0]]
    return bool(re.search(r"[,;:.!?()/\u2013\u2014]", between))


def _adjective_and_noun_follow(
    start: int, classes: Sequence[_Class], breaks: Sequence[bool]
) -> bool:
    """Whether words from `start` on are adjectives up to a noun: "a zigzag [red arrow]".

    English puts adjectives before nouns that modify, so what stands before is an unknown adjective.
    """
    at = start
    while at < len(classes) and classes[at] is _Class.MODIFIER:
        at += 1
        if breaks[at]:
            return False
    return at > start and at < len(classes) and classes[at] is _Class.CONTENT


def _classify(words: Sequence[Word], breaks: Sequence[bool]) -> list[_Class]:
    """The class of each word, from its lists, its suffix and the words around it."""
    classes: list[_Class] = []
    fixed = _in_fixed_phrases([word.text for word in words])
    for i, word in enumerate(words):
        before = _Class.BOUNDARY if breaks[i] else classes[i - 1]
        follower = "" if breaks[i + 1] else words[i + 1].text
        kind = _Class.BOUNDARY if fixed[i] else _class_of(word.text, before, follower)
        classes.append(kind)
    return classes


def _class_of(word: str, before: _Class, follower: str) -> _Class:
    """The class of one word after a word of class `before`; `follower` is "" at a break."""
    introduced = before in (_Class.DETERMINER, _Class.MODIFIER, _Class.PARTICIPLE)
    if word in DETERMINERS:
        return _Class.DETERMINER
    if word in _BOUNDARIES or (word in VERBS and not (introduced and word in NOUN_OR_VERB)):
        return _Class.BOUNDARY
    if word in NUMBERS or re.fullmatch(r"[\d.,:-]+(st|nd|rd|th)?", word):
        return _Class.DETERMINER
    if word in COLOURS or word in ADJECTIVES:
        at_end = not follower or follower in _BOUNDARIES or follower in DETERMINERS
        is_noun = at_end and word in NOT_ADJECTIVES_AT_THE_END
        return _Class.CONTENT if is_noun and introduced else _Class.MODIFIER
    if word.endswith("ing") and word not in ING_NOUNS and len(word) > 4:
        return _Class.PARTICIPLE if introduced else _Class.BOUNDARY
    if word.endswith("ed") and word not in ED_NOUNS and len(word) > 3:
        return _Class.PARTICIPLE if introduced else _Class.BOUNDARY
    if word.endswith("ly") and word not in LY_NOUNS:
        return _Class.BOUNDARY
    return _Class.CONTENT


def _in_fixed_phrases(words: Sequence[str]) -> list[bool]:
    """Which words are part of "in front of" and its like; the longest phrase wins."""
    inside = [False] * len(words)
    start = 0
    while start < len(words):
        longest = max(
            (len(p) for p in FIXED_PHRASES if tuple(words[start : start + len(p)]) == p), default=0
        )
        inside[start : start + longest] = [True] * longest
        start += max(longest, 1)
    return inside


def _is_past(word: str) -> bool:
    return word.endswith("ed")


def _is_possessive(word: str) -> bool:
    return bool(re.search(r"['’]s?$", word))  # noqa: RUF001 (the curly apostrophe)


def _split_at_possessives(run: Sequence[int], words: Sequence[Word]) -> list[list[int]]:
    """A run cut behind every "man's", which is a noun of its own."""
    parts: list[list[int]] = [[]]
    for i in run:
        parts[-1].append(i)
        if _is_possessive(words[i].text):
            parts.append([])
    return [part for part in parts if part]
