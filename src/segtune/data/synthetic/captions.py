"""Sentences about scenes and crops: true ones, and noisy ones like those found on the web.

A noisy caption leaves out things that are there (*missing*) and names things that are not
(*wrong*), each at a stated rate; that is the noise that caption-driven training has to survive.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtune.data.synthetic.attributes import Composition, stuff_concepts, thing_concept
from segtune.types import Concept

COUNT_WORDS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCENE_TEMPLATES = (
    "{things} on {main}",
    "{things} on {main}",
    "{things} lying on {main}",
    "a picture of {things} on {main}",
    "a scene of {main} with {things}",
    "{things} in front of {main}",
)
CROP_TEMPLATES = (
    "{thing}",
    "{thing} on {stuff}",
    "{thing} on {stuff}",
    "a photo of {thing}",
    "a photo of {thing} on {stuff}",
    "a close-up of {thing} on {stuff}",
    "a picture of {thing}",
    "there is {thing} on {stuff}",
)
STUFF_TEMPLATES = ("{}", "a photo of {}", "a surface of {}", "a close-up of {}", "only {} here")


@dataclass(frozen=True)
class CaptionStyle:
    """How faithful and how varied captions are.

    Attributes:
        synonym_rate: probability that a mention uses a synonym.
        missing_rate: probability that a true mention is left out.
        wrong_rate: probability, per true mention, that a false mention is added.
    """

    synonym_rate: float = 0.15
    missing_rate: float = 0.0
    wrong_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("synonym_rate", "missing_rate", "wrong_rate"):
            if not 0 <= (rate := getattr(self, name)) <= 1:
                raise ValueError(f"{name} is a probability between 0 and 1, not {rate}")


CLEAN = CaptionStyle()
NOISY = CaptionStyle(missing_rate=0.3, wrong_rate=0.3)


@dataclass(frozen=True)
class Caption:
    """A sentence with the class names it mentions, in order and without repeats."""

    text: str
    mentions: tuple[str, ...]


def plural(noun: str) -> str:
    """The English plural of a name, regular forms only.

    Example:
        >>> plural("striped red cross"), plural("relay")
        ('striped red crosses', 'relays')
    """
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def counted(noun: str, count: int) -> str:
    """ "a star", "an arrow", "two stars"."""
    if count == 1:
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    return f"{COUNT_WORDS[count] if count < len(COUNT_WORDS) else 'many'} {plural(noun)}"


def join(phrases: Sequence[str]) -> str:
    """Phrases as an English list: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(phrases[:-1]), *phrases[-1:])))


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _wording(concept: Concept, rng: np.random.Generator, style: CaptionStyle) -> str:
    if concept.synonyms and rng.random() < style.synonym_rate:
        return _pick(concept.synonyms, rng)
    return concept.name


def _corrupt(
    present: Sequence[Concept],
    candidates: Sequence[Concept],
    rng: np.random.Generator,
    style: CaptionStyle,
) -> list[Concept]:
    """Drops and adds mentions at the rates of the style."""
    kept = [concept for concept in present if rng.random() >= style.missing_rate]
    num_wrong = int((rng.random(len(present)) < style.wrong_rate).sum())
    names = {concept.name for concept in present}
    absent = [concept for concept in candidates if concept.name not in names]
    picks = rng.permutation(len(absent))[:num_wrong]
    mixed = kept + [absent[int(i)] for i in picks]
    return [mixed[int(i)] for i in rng.permutation(len(mixed))] if num_wrong else mixed


def caption_scene(
    things: Sequence[Concept],
    stuff: Sequence[Concept],
    rng: np.random.Generator,
    *,
    style: CaptionStyle = CLEAN,
    thing_candidates: Sequence[Concept] = (),
    stuff_candidates: Sequence[Concept] = (),
) -> Caption:
    """A sentence about a scene.

    Args:
        things: concepts of all visible things, repeated as often as they occur.
        stuff: concepts of visible stuff, the largest first.
        rng: chooses wording and, in a noisy style, what is missing and wrong.
        style: rates of synonyms, missing and wrong mentions.
        thing_candidates: what wrong mentions of things are drawn from.
        stuff_candidates: what wrong mentions of stuff are drawn from.

    Example:
        >>> star = Concept("striped red star")
        >>> rng = np.random.default_rng(1)
        >>> caption_scene([star, star], [Concept("grass", kind="stuff")], rng).text
        'two striped red stars on grass'
    """
    counts = Counter(concept.name for concept in things)
    distinct = list({concept.name: concept for concept in things}.values())
    named_things = _corrupt(distinct, thing_candidates, rng, style)
    named_stuff = _corrupt(stuff, stuff_candidates, rng, style)
    phrases = [
        counted(_wording(concept, rng, style), counts.get(concept.name, 1))
        for concept in named_things
    ]
    surfaces = [_wording(concept, rng, style) for concept in named_stuff]
    if phrases and surfaces:
        text = _pick(SCENE_TEMPLATES, rng).format(things=join(phrases), main=surfaces[0])
        if surfaces[1:]:
            text += _pick((", with ", " and ", ", next to "), rng) + join(surfaces[1:])
    else:
        text = join(phrases or surfaces) or "a picture"
    mentions = tuple(concept.name for concept in (*named_things, *named_stuff))
    return Caption(text, mentions)


def caption_crop(
    composition: Composition,
    stuff: str | None,
    rng: np.random.Generator,
    *,
    style: CaptionStyle = CLEAN,
) -> str:
    """A sentence about a close-up of one thing, sometimes naming the stuff that it lies on.

    Args:
        composition: the thing.
        stuff: what it lies on; never named where None.
        rng: chooses wording.
        style: only its synonym rate matters here.
    """
    thing = counted(_wording(thing_concept(composition), rng, style), 1)
    templates = [t for t in CROP_TEMPLATES if stuff or "{stuff}" not in t]
    surface = _stuff_word(stuff, rng, style) if stuff else ""
    return _pick(templates, rng).format(thing=thing, stuff=surface)


def _stuff_word(stuff: str, rng: np.random.Generator, style: CaptionStyle) -> str:
    """The name of a stuff or one of its synonyms."""
    concept = next(concept for concept in stuff_concepts() if concept.name == stuff)
    return _wording(concept, rng, style)


def caption_stuff(stuff: str, rng: np.random.Generator, *, style: CaptionStyle = CLEAN) -> str:
    """A sentence about a close-up of one stuff."""
    return _pick(STUFF_TEMPLATES, rng).format(_stuff_word(stuff, rng, style))
