"""Nouns as spaCy's parser finds them: the compound at the end of every noun chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segtune.errors import SegtuneError
from segtune.vocabulary.nouns.base import Noun

NOUN_CLASSES = ("NOUN", "PROPN")


class SpacyNouns:
    """Head nouns of noun chunks with the nouns directly before them, "baseball player".

    Args:
        pipeline: name or folder of a spaCy pipeline with a parser.
        adjectives: keep adjectives too, "young baseball player".

    Raises:
        SegtuneError: spaCy or the pipeline is not installed.
    """

    def __init__(self, *, pipeline: str = "en_core_web_sm", adjectives: bool = False) -> None:
        try:
            import spacy
        except ImportError:
            raise SegtuneError(
                "noun backend spacy needs spaCy; type pip install 'segtune[text]'"
            ) from None
        try:
            self._pipeline: Any = spacy.load(pipeline)
        except OSError:
            raise SegtuneError(
                f"spaCy has no pipeline {pipeline!r}; type python -m spacy download {pipeline}, or "
                "give the folder of one as pipeline=FOLDER"
            ) from None
        self.kept = (*NOUN_CLASSES, "ADJ") if adjectives else NOUN_CLASSES

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the nouns of each caption, from left to right."""
        documents = self._pipeline.pipe(captions)
        return [
            [noun for chunk in document.noun_chunks if (noun := self._noun(document, chunk))]
            for document in documents
        ]

    def _noun(self, document: Any, chunk: Any) -> Noun | None:
        root = chunk.root
        if root.pos_ not in NOUN_CLASSES:
            return None
        first = root.i
        while first > chunk.start and document[first - 1].pos_ in self.kept:
            first -= 1
        words = document[first : root.i + 1]
        lemma = " ".join([*(token.text for token in words[:-1]), root.lemma_])
        return Noun.of(words.text, (words.start_char, words.end_char), lemma=lemma)
