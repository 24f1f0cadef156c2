"""The nouns of an image, from one or all of its captions, and their embeddings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from segtune.backbones.clip.model import ClipVit
from segtune.errors import SegtuneError, WeightsError
from segtune.types import TemplateSet
from segtune.vocabulary.nouns.base import NounExtractor, extract_nouns

logger = logging.getLogger(__name__)

Wording = Literal["lemma", "caption"]


@dataclass(frozen=True)
class ImageNoun:
    """One noun of an image.

    Attributes:
        text: what CLIP is asked with.
        lemma: its dictionary form; every lemma is there once per image.
        caption: the first caption that has it, counted from 0.
    """

    text: str
    lemma: str
    caption: int


def image_nouns(
    captions: Sequence[Sequence[str]],
    extractor: NounExtractor,
    *,
    use: int | None = 1,
    drop_generic: bool = False,
    wording: Wording = "lemma",
) -> list[list[ImageNoun]]:
    """Returns the nouns of each image, in the order of its captions.

    Args:
        captions: of B images.
        extractor: gets all captions that are used in one call.
        use: how many captions of an image count, the first ones; None takes all.
        drop_generic: leave out nouns such as "picture".
        wording: what CLIP is asked with, the lemma or the words of the caption.
    """
    used = [list(each[:use]) for each in captions]
    flat = [caption for each in used for caption in each]
    found = iter(extract_nouns(extractor, flat, drop_generic=drop_generic) if flat else [])
    images = []
    for each in used:
        nouns: dict[str, ImageNoun] = {}
        for number in range(len(each)):
            for noun in next(found):
                text = noun.lemma if wording == "lemma" else noun.text
                nouns.setdefault(noun.lemma, ImageNoun(text, noun.lemma, number))
        images.append(list(nouns.values()))
    return images


class NounEmbeds:
    """Text embeddings of nouns, each computed once.

    A noun is encoded alone, whatever nouns come with it, and rounded to float16 as regions are, so
    that its embedding does not depend on where a run was interrupted.

    Args:
        clip: encodes the sentences.
        templates: sentences around a noun; unit vectors are averaged and normalised again.
    """

    def __init__(self, clip: ClipVit, templates: TemplateSet) -> None:
        self.clip, self.templates = clip, templates
        self._known: dict[str, np.ndarray] = {}
        self._too_long: set[str] = set()

    def fits(self, text: str) -> bool:
        """Whether CLIP can read a noun in all sentences; says so once where it cannot."""
        if text in self._known or text in self._too_long:
            return text in self._known
        try:
            self._known[text] = self._encode(text)
        except WeightsError:
            raise
        except SegtuneError:  # the sentence does not fit into the context of the text tower
            logger.info("%r is longer than %s reads and is left out", text, self.clip.name)
            self._too_long.add(text)
        return text in self._known

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Returns (N, k) float16, unit length, of nouns that fit."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._encode(text)
        rows = [self._known[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.clip.joint_width), np.float16)

    @torch.inference_mode()
    def _encode(self, text: str) -> np.ndarray:
        tokens = self.clip.tokenize(self.templates.fill(text))
        sentences = functional.normalize(self.clip.encode_text(tokens).float(), dim=-1)
        return functional.normalize(sentences.mean(0), dim=-1).half().cpu().numpy()
