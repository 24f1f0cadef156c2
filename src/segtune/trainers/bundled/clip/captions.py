"""Sentences about the concepts of the `base` world, and which concept each sentence is true of.

A concept is a thing ("striped red star") or a stuff ("grass"). A sentence names all of a thing's
attributes or only some of them ("a photo of a red thing"); the second kind teaches that a name is
made of parts, which unseen compositions need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtune.data.synthetic.attributes import (
    COLOUR_SYNONYMS,
    COLOURS,
    SHAPE_SYNONYMS,
    SHAPES,
    STUFF,
    STUFF_SYNONYMS,
    TEXTURE_SYNONYMS,
    TEXTURES,
    compositions,
)

ANY = -1
"""Attribute value of a sentence that does not mention the attribute."""

TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of {}.",
    "an image of a {}.",
    "a picture of a {}.",
    "a bad photo of a {}.",
    "a good photo of the {}.",
    "a close-up photo of a {}.",
    "a cropped photo of the {}.",
    "a rendering of a {}.",
    "a photo of a small {}.",
    "a photo of a medium {}.",
    "a photo of a large {}.",
    "this is a photo of a {}.",
    "this is a photo of a small {}.",
    "this is a photo of a large {}.",
    "a {} in the scene.",
    "a photo of a {} in the scene.",
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
SYNONYM_SHARE = 0.15  # of the words that have one
SWAP_SHARE = 0.15  # of the names that say the colour before the texture
NOUNS = ("thing", "object", "shape")
SYNONYMS = TEXTURE_SYNONYMS | COLOUR_SYNONYMS | SHAPE_SYNONYMS | STUFF_SYNONYMS
PAIRS = ((True, True, False), (True, False, True), (False, True, True))
"""Which two of (texture, colour, shape) a pair sentence mentions."""


@dataclass(frozen=True)
class Sentence:
    """A caption and what it claims.

    Attributes:
        text: the caption.
        claim: four indices (texture, colour, shape, stuff), `ANY` where nothing is said.
    """

    text: str
    claim: tuple[int, ...]


def concept_names() -> tuple[str, ...]:
    """Returns all concepts by id: the compositions in their order, then the stuff."""
    return (*(c.name for c in compositions()), *STUFF)


def concept_attributes() -> np.ndarray:
    """Returns (K, 4) int64 (texture, colour, shape, stuff) of every concept, `ANY` where none."""
    things = [
        (TEXTURES.index(c.texture), COLOURS.index(c.colour), SHAPES.index(c.shape), ANY)
        for c in compositions()
    ]
    return np.array(things + [(ANY, ANY, ANY, i) for i in range(len(STUFF))], dtype=np.int64)


def seen_things() -> np.ndarray:
    """Returns the (n,) int64 concept ids of the compositions that training may show and name."""
    return np.flatnonzero(~is_unseen()[: len(compositions())])


def is_unseen() -> np.ndarray:
    """Returns (K,) bool, the concepts that training must neither show nor name."""
    return np.array([c.is_unseen for c in compositions()] + [False] * len(STUFF))


def full_sentence(concept: int, rng: np.random.Generator) -> Sentence:
    """Returns a sentence that says everything about a concept."""
    return _sentence(concept, (True, True, True), rng)


def pair_sentence(concept: int, rng: np.random.Generator) -> Sentence:
    """Returns a sentence about two attributes of a thing; a stuff is just named."""
    return _sentence(concept, PAIRS[int(rng.integers(len(PAIRS)))], rng)


def word_sentences(rng: np.random.Generator) -> list[Sentence]:
    """Returns one sentence per attribute word, in the order of textures, colours, shapes, stuff.

    "a photo of a striped thing", "the red shape", "a star", "grass".
    """
    sentences = []
    for position, words in enumerate((TEXTURES, COLOURS, SHAPES, STUFF)):
        for index, word in enumerate(words):
            said = _word(word, rng)
            if position < 2:
                said = f"{said} {NOUNS[int(rng.integers(len(NOUNS)))]}"
            claim = [ANY, ANY, ANY, ANY]
            claim[position] = index
            template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
            sentences.append(Sentence(template.format(said), tuple(claim)))
    return sentences


def word_ids(attributes: np.ndarray) -> np.ndarray:
    """Returns (R, 3) int64 positions in `word_sentences` of the words that are true of each row.

    The texture, colour and shape of a thing; three times the name of a stuff.
    """
    sizes = np.array([len(TEXTURES), len(COLOURS), len(SHAPES)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    things = attributes[:, :3] + starts[:3]
    return np.where(attributes[:, 3:] == ANY, things, attributes[:, 3:] + starts[3])


def training_captions() -> list[str]:
    """Returns the sentences that the tokenizer is trained on: seen things and stuff, all templates.

    Synonyms are listed with them, so that every word of the world becomes few tokens.
    """
    names = concept_names()
    known = [names[i] for i in seen_things()] + list(STUFF)
    sentences = [TEMPLATES[i % len(TEMPLATES)].format(name) for i, name in enumerate(known)]
    synonyms = [word for words in SYNONYMS.values() for word in words]
    return sentences + [word for word in (*synonyms, *NOUNS) for _ in range(20)]


def matches(claims: Sequence[tuple[int, ...]] | np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Returns whether each claim is true of each row of attributes.

    Args:
        claims: (T, 4) int, `ANY` where nothing is said.
        attributes: (R, 4) int, one concept per row.

    Returns:
        (R, T) bool.
    """
    said = np.asarray(claims)[None]  # (1, T, 4)
    agrees: np.ndarray = (said == ANY) | (said == attributes[:, None])  # (R, T, 4)
    return np.all(agrees, axis=-1)


def _sentence(
    concept: int, mentioned: tuple[bool, bool, bool], rng: np.random.Generator
) -> Sentence:
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    things = compositions()
    if concept >= len(things):
        stuff = concept - len(things)
        return Sentence(template.format(_word(STUFF[stuff], rng)), (ANY, ANY, ANY, stuff))
    thing = things[concept]
    says_texture, says_colour, says_shape = mentioned
    words = [_word(thing.texture, rng)] if says_texture else []
    if says_colour:
        words.insert(0 if rng.random() < SWAP_SHARE else len(words), _word(thing.colour, rng))
    words.append(_word(thing.shape, rng) if says_shape else NOUNS[int(rng.integers(len(NOUNS)))])
    claim = (
        TEXTURES.index(thing.texture) if says_texture else ANY,
        COLOURS.index(thing.colour) if says_colour else ANY,
        SHAPES.index(thing.shape) if says_shape else ANY,
        ANY,
    )
    return Sentence(template.format(" ".join(words)), claim)


def _word(word: str, rng: np.random.Generator) -> str:
    """Returns the word or, now and then, a synonym."""
    others = SYNONYMS.get(word, ())
    if others and rng.random() < SYNONYM_SHARE:
        return others[int(rng.integers(len(others)))]
    return word
