"""The stage that finds the nouns of captions, of many images in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segtune.engine.graph import Row
from segtune.engine.words import Wording, image_nouns
from segtune.vocabulary.nouns.base import NounExtractor


class NounStage:
    """From captions to nouns.

    Args:
        extractor: makes what finds them.
        use: captions of an image that count, the first ones; None takes all.
        drop_generic: leave out nouns such as "picture".
        wording: what models are asked with, the lemma or the words of the caption.
        most: nouns of an image that stay, the first ones.
    """

    def __init__(
        self,
        extractor: Callable[[], NounExtractor],
        *,
        use: int | None,
        drop_generic: bool,
        wording: Wording,
        most: int | None = None,
    ) -> None:
        self.extractor = extractor()
        self.use, self.drop_generic, self.wording, self.most = use, drop_generic, wording, most

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Returns the nouns of each image: text, lemma and caption."""
        found = image_nouns(
            [row["captions"] for row in rows],
            self.extractor,
            use=self.use,
            drop_generic=self.drop_generic,
            wording=self.wording,
        )
        return [
            {"nouns": [[n.text, n.lemma, n.caption] for n in nouns[: self.most]]} for nouns in found
        ]


def texts_of(nouns: Sequence[Sequence[Any]]) -> list[str]:
    """Returns what models are asked with, of a value of the column."""
    return [text for text, _, _ in nouns]
