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


@torch.inference_mode()
def embed_noun(clip: ClipVit, templates: TemplateSet, text: str) -> np.ndarray | None:
    """Returns (k,) float16, unit length, of a noun; None where CLIP cannot read it whole.

    A noun is encoded alone, whatever nouns come with it, and rounded to float16 as regions are, so
    that its embedding does not depend on where a run was interrupted.

    Args:
        clip: encodes the sentences.
        templates: sentences around a noun; unit vectors are averaged and normalised again.
        text: the noun.
    """
    try:
        tokens = clip.tokenize(templates.fill(text))
    except WeightsError:
        raise
    except SegtuneError:  # the sentence does not fit into the context of the text tower
        logger.info("%r is longer than %s reads and is left out", text, clip.name)
        return None
    sentences = functional.normalize(clip.encode_text(tokens).float(), dim=-1)
    vector: np.ndarray = functional.normalize(sentences.mean(0), dim=-1).half().cpu().numpy()
    return vector
