"""Nouns that were computed elsewhere: a JSONL file, or a Python function."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segtune.errors import DataError, SegtuneError
from segtune.vocabulary.nouns.base import Noun, located
from segtune.vocabulary.parse import read_text


class StoredNouns:
    """Nouns by caption from a JSONL file.

    Every line is `{"caption": "...", "nouns": ["traffic light", {"text": "dogs", "lemma": "dog"}]}`;
    an entry is a word, or a mapping with "text" and optionally "lemma" and "score".

    Args:
        file: the JSONL file.

    Raises:
        FileNotFoundError, DataError: missing, or a line is not of this form.
    """  # noqa: E501 (one line of JSON)

    def __init__(self, *, file: str) -> None:
        self.file = Path(file)
        self._nouns: dict[str, list[Noun]] = {}
        text = read_text(self.file, what="file of nouns")
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                caption = entry["caption"]
                self._nouns[caption] = [_noun(item, caption) for item in entry["nouns"]]
            except (ValueError, TypeError, KeyError, AttributeError):
                raise DataError(
                    f"{file} line {number} is not of the form "
                    '{"caption": "...", "nouns": ["word", ...]}'
                ) from None

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns what the file says about each caption; all of them must be in it."""
        if missing := [caption for caption in captions if caption not in self._nouns]:
            raise DataError(
                f"{self.file} has no line for {len(missing)} captions, the first is {missing[0]!r}"
            )
        return [self._nouns[caption] for caption in captions]


class FunctionNouns:
    """A Python function as a backend.

    Args:
        function: takes M captions and returns M lists of words or of `Noun`.

    Example:
        >>> first_word = FunctionNouns(lambda captions: [[c.split()[0]] for c in captions])
        >>> first_word(["Dogs bark."])[0][0].lemma
        'dog'
    """

    def __init__(self, function: Callable[[Sequence[str]], Sequence[Sequence[str | Noun]]]) -> None:
        self.function = function

    def __call__(self, captions: Sequence[str]) -> list[list[Noun]]:
        """Returns the answers of the function with the place of each word."""
        answers = self.function(captions)
        if len(answers) != len(captions):
            raise SegtuneError(
                f"the noun function gave {len(answers)} lists for {len(captions)} captions; "
                "expected one list of words per caption"
            )
        return [
            [noun if isinstance(noun, Noun) else located(noun, caption) for noun in nouns]
            for nouns, caption in zip(answers, captions, strict=True)
        ]


def _noun(item: Any, caption: str) -> Noun:
    if isinstance(item, str):
        return located(item, caption)
    return located(
        item["text"], caption, lemma=item.get("lemma"), score=float(item.get("score", 1.0))
    )
