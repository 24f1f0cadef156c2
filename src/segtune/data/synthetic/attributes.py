"""The words of the synthetic open world: what a thing can be and what it can stand on.

A *thing* is a composition ``texture x colour x shape`` and is named in that order, "striped red
star". A *stuff* is one of a dozen procedural surfaces. A quarter of the compositions is held out
as *unseen* by a Latin-square rule: every shape, texture and colour, and every pair of them, still
occurs among the seen ones, so an unseen name asks for recombination and never for a new word.
"""

from dataclasses import dataclass
from functools import lru_cache

from segtune.types import Concept, Vocabulary

SHAPES = ("circle", "square", "triangle", "star", "ring", "heart", "cross", "crescent", "arrow")
TEXTURES = ("plain", "striped", "dotted", "checkered", "zigzag", "marbled")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "purple", "brown")
STUFF = (
    "grass",
    "water",
    "sand",
    "brick",
    "sky",
    "road",
    "snow",
    "wood",
    "stone",
    "soil",
    "leaves",
    "tiles",
)

SHAPE_SYNONYMS = {
    "circle": ("disc",),
    "square": ("box",),
    "ring": ("hoop",),
    "cross": ("plus",),
    "crescent": ("moon",),
    "arrow": ("pointer",),
}
TEXTURE_SYNONYMS = {
    "plain": ("solid",),
    "striped": ("stripy",),
    "dotted": ("spotted",),
    "checkered": ("chequered",),
    "zigzag": ("zigzagged",),
    "marbled": ("veined",),
}
COLOUR_SYNONYMS = {"cyan": ("turquoise",), "purple": ("violet",)}
STUFF_SYNONYMS = {
    "grass": ("lawn",),
    "road": ("asphalt",),
    "wood": ("planks",),
    "stone": ("cobblestone",),
    "soil": ("earth",),
    "leaves": ("foliage",),
}
STUFF_COLOURS = {
    "grass": (104, 160, 72),
    "water": (50, 110, 160),
    "sand": (220, 196, 140),
    "brick": (176, 88, 70),
    "sky": (140, 196, 240),
    "road": (92, 92, 104),
    "snow": (236, 240, 250),
    "wood": (186, 138, 84),
    "stone": (150, 148, 160),
    "soil": (100, 70, 52),
    "leaves": (44, 104, 60),
    "tiles": (196, 212, 210),
}

UNSEEN_MODULUS = 4  # one composition in four is held out
UNSEEN_RESIDUE = 3


@dataclass(frozen=True)
class Composition:
    """One kind of thing, for example ``Composition("striped", "red", "star")``."""

    texture: str
    colour: str
    shape: str

    def __post_init__(self) -> None:
        for word, known in (
            (self.texture, TEXTURES),
            (self.colour, COLOURS),
            (self.shape, SHAPES),
        ):
            if word not in known:
                raise ValueError(f"{word!r} is not an attribute here; use one of {list(known)}")

    @property
    def name(self) -> str:
        """The three words in reading order: "striped red star"."""
        return f"{self.texture} {self.colour} {self.shape}"

    @property
    def is_unseen(self) -> bool:
        """Whether the composition is held out of every `train` split of the base world.

        The three indices are added modulo 4. Fix any two attributes and run through the third:
        the sum passes through all residues, so each pair loses a quarter of its compositions and
        never all of them.
        """
        total = TEXTURES.index(self.texture) + COLOURS.index(self.colour) + SHAPES.index(self.shape)
        return total % UNSEEN_MODULUS == UNSEEN_RESIDUE

    @classmethod
    def parse(cls, name: str) -> "Composition":
        """The composition called `name`.

        Example:
            >>> Composition.parse("striped red star").shape
            'star'
        """
        words = name.split()
        if len(words) != 3:
            raise ValueError(f"{name!r} is not 'texture colour shape', as in 'striped red star'")
        return cls(*words)


@lru_cache(maxsize=1)
def compositions() -> tuple[Composition, ...]:
    """All compositions, ordered by shape, then texture, then colour."""
    return tuple(
        Composition(texture, colour, shape)
        for shape in SHAPES
        for texture in TEXTURES
        for colour in COLOURS
    )


def composition_synonyms(composition: Composition) -> tuple[str, ...]:
    """The name with each word in turn replaced by its synonyms."""
    texture, colour, shape = composition.texture, composition.colour, composition.shape
    return (
        *(f"{texture} {colour} {word}" for word in SHAPE_SYNONYMS.get(shape, ())),
        *(f"{word} {colour} {shape}" for word in TEXTURE_SYNONYMS.get(texture, ())),
        *(f"{texture} {word} {shape}" for word in COLOUR_SYNONYMS.get(colour, ())),
    )


def thing_concept(composition: Composition) -> Concept:
    """The vocabulary entry of a composition, tagged "seen" or "unseen"."""
    return Concept(
        composition.name,
        synonyms=composition_synonyms(composition),
        kind="thing",
        group="unseen" if composition.is_unseen else "seen",
    )


def stuff_concepts() -> tuple[Concept, ...]:
    """The vocabulary entries of all stuff, in the order of `STUFF`, tagged "seen"."""
    return tuple(
        Concept(
            name,
            synonyms=STUFF_SYNONYMS.get(name, ()),
            kind="stuff",
            group="seen",
            color=STUFF_COLOURS[name],
        )
        for name in STUFF
    )


@lru_cache(maxsize=1)
def base_vocabulary() -> Vocabulary:
    """All compositions followed by all stuff; class ids are stable across versions.

    Example:
        >>> vocabulary = base_vocabulary()
        >>> vocabulary.names[0], vocabulary.names[-1], len(vocabulary)
        ('plain red circle', 'tiles', 390)
    """
    things = tuple(thing_concept(composition) for composition in compositions())
    return Vocabulary(things + stuff_concepts(), name="synthetic:base")
