"""What can be segmented: concepts, vocabularies, and the sentences around their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from segtune.errors import SegtuneError

Kind = Literal["thing", "stuff"]


@dataclass(frozen=True)
class Concept:
    """One entry of a vocabulary: what a user calls a class, and what is known about it.

    Attributes:
        name: the name shown to the user and, unless there are synonyms, given to the text encoder.
        synonyms: further names; the text embedding is the mean over name and synonyms.
        kind: countable "thing" or amorphous "stuff".
        group: protocol tag such as "seen", "unseen" or "known"; None where there is none.
        color: (r, g, b) 0..255 for pictures; None picks one from the palette.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    kind: Kind = "thing"
    group: str | None = None
    color: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SegtuneError("a class name is empty; every entry of a vocabulary needs a name")

    @property
    def names(self) -> tuple[str, ...]:
        """The name followed by its synonyms."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Vocabulary:
    """An ordered set of concepts; a class id is an index into it.

    Attributes:
        concepts: at least one, with distinct names.
        negatives: words that compete with the concepts but are not part of the answer; a pixel
            won by a negative becomes `IGNORE`.
        name: what tables call it.

    Example:
        >>> vocabulary = Vocabulary.of("road", "car", "tree")
        >>> vocabulary.names, len(vocabulary), vocabulary.index("car")
        (('road', 'car', 'tree'), 3, 1)
    """

    concepts: tuple[Concept, ...]
    negatives: tuple[str, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.concepts:
            raise SegtuneError(
                'the vocabulary is empty; give at least one word, for example --vocab "road, car"'
            )
        counts = Counter(concept.name.strip().lower() for concept in self.concepts)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            some = ", ".join(map(repr, twice[:5])) + (", ..." if len(twice) > 5 else "")
            raise SegtuneError(
                f"the vocabulary names {some} more than once; remove the repeated words"
            )
        if both := sorted({n.strip().lower() for n in self.negatives} & set(counts)):
            raise SegtuneError(
                f"{', '.join(map(repr, both))} is both a class and a negative; drop one of the two"
            )

    @classmethod
    def of(cls, *names: str, negatives: tuple[str, ...] = (), name: str = "custom") -> Vocabulary:
        """Returns a vocabulary of plain names."""
        return cls(tuple(Concept(word.strip()) for word in names), negatives, name)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The class names in order."""
        return tuple(concept.name for concept in self.concepts)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def index(self, name: str) -> int:
        """Returns the class id of `name`; raises `SegtuneError` where it is not part of it."""
        if name not in self._ids:
            raise SegtuneError(f"{name!r} is not in the vocabulary {self.name!r}")
        return self._ids[name]

    def ids_in(self, group: str) -> tuple[int, ...]:
        """Returns the class ids whose concept carries the tag `group`."""
        return tuple(i for i, concept in enumerate(self.concepts) if concept.group == group)

    def subset(self, ids: tuple[int, ...] | list[int], *, name: str | None = None) -> Vocabulary:
        """Returns the vocabulary of the given class ids, in the given order."""
        concepts = tuple(self.concepts[i] for i in ids)
        return replace(self, concepts=concepts, name=name or self.name)


@dataclass(frozen=True)
class TemplateSet:
    """Sentences into which a class name is put before it is encoded; `{}` marks the place.

    One embedding per class: every sentence is encoded and normalised, the mean is normalised again.
    """

    name: str
    sentences: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.sentences:
            raise SegtuneError(f"template set {self.name!r} is empty; give at least '{{}}'")
        for sentence in self.sentences:
            if sentence.count("{}") != 1:
                raise SegtuneError(f"template {sentence!r} must contain {{}} exactly once")

    def fill(self, name: str) -> tuple[str, ...]:
        """Returns the sentences with `name` in place, and "a" or "an" to fit it for `{article}`."""
        article = "an" if name[:1].lower() in tuple("aeiou") else "a"
        sentences = (sentence.replace("{article}", article) for sentence in self.sentences)
        return tuple(sentence.replace("{}", name) for sentence in sentences)
