"""The named worlds: which classes exist, which are annotated, how often they occur, what weather.

`base` is the compositional world; the others change one thing about it each: class frequencies
(`longtail`), names (`jargon`), weather (`fog`, `night`, `rain`, `snow`) or the class list
(`base-15-5`, the analogue of the 15/5 zero-shot split of PASCAL VOC).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from segtune.data.synthetic.attributes import (
    Composition,
    base_vocabulary,
    compositions,
    stuff_concepts,
    thing_concept,
)
from segtune.data.synthetic.weather import WEATHERS
from segtune.errors import SegtuneError
from segtune.types import Concept, Vocabulary


@dataclass(frozen=True)
class World:
    """Everything that distinguishes one world from another.

    Attributes:
        name: what users call it.
        vocabulary: the thing classes in the order of `compositions`, then the stuff classes if
            this world annotates stuff.
        compositions: what thing class k looks like.
        train_shares: how often thing class k occurs in train images, before renormalisation.
        test_shares: the same in validation and test images.
        annotated_groups: groups of thing classes that train splits annotate.
        train_groups: groups of thing classes that occur in images of the `train` split.
        weather: applied to finished images, None for clear sky.
        scene_key: worlds that share it show the same scenes at the same index.
    """

    name: str
    vocabulary: Vocabulary
    compositions: tuple[Composition, ...]
    train_shares: tuple[float, ...]
    test_shares: tuple[float, ...]
    annotated_groups: tuple[str, ...] = ("seen",)
    train_groups: tuple[str, ...] = ("seen",)
    weather: str | None = None
    scene_key: str = "base"

    @property
    def num_things(self) -> int:
        """Number of thing classes; their ids come first in the vocabulary."""
        return len(self.compositions)

    @property
    def annotates_stuff(self) -> bool:
        """Whether stuff is part of the vocabulary; otherwise its pixels are unlabelled."""
        return len(self.vocabulary) > self.num_things

    @property
    def thing_concepts(self) -> tuple[Concept, ...]:
        """The vocabulary entries of the thing classes."""
        return self.vocabulary.concepts[: self.num_things]


def _base() -> World:
    everything = compositions()
    even = (1.0,) * len(everything)
    return World("base", base_vocabulary(), everything, train_shares=even, test_shares=even)


def _in_weather(weather: str) -> Callable[[], World]:
    def build() -> World:
        vocabulary = replace(base_vocabulary(), name=f"synthetic:{weather}")
        return replace(_base(), name=weather, vocabulary=vocabulary, weather=weather)

    return build


ZERO_SHOT_SEEN = (
    "zigzag yellow crescent",
    "dotted green heart",
    "checkered purple square",
    "plain green star",
    "dotted red cross",
    "marbled brown heart",
    "striped blue ring",
    "dotted purple square",
    "plain brown triangle",
    "zigzag red circle",
    "dotted cyan ring",
    "checkered brown star",
    "zigzag cyan triangle",
    "marbled blue crescent",
    "zigzag purple arrow",
)
ZERO_SHOT_UNSEEN = (
    "plain red crescent",
    "checkered green cross",
    "checkered yellow star",
    "striped red triangle",
    "checkered blue arrow",
)


def _base_15_5() -> World:
    """20 classes, 15 seen and 5 unseen; everything else, stuff too, is unlabelled background."""
    things = tuple(Composition.parse(name) for name in ZERO_SHOT_SEEN + ZERO_SHOT_UNSEEN)
    vocabulary = Vocabulary(tuple(map(thing_concept, things)), name="synthetic:base-15-5")
    even = (1.0,) * len(things)
    return World("base-15-5", vocabulary, things, even, even, scene_key="base-15-5")


LONGTAIL_KNOWN, LONGTAIL_SEEN, LONGTAIL_UNSEEN = 72, 24, 24


def _longtail() -> World:
    """120 classes with Zipf frequencies in the groups of LVIS-OW; only things are annotated.

    *known* classes are annotated in training, *seen* ones stand in training images without a
    label, *unseen* ones are the rare tail and never occur in training. The unseen classes are
    unseen in `base` too, the others are not. Test frequencies are flatter (square root), so that
    every class is measured.
    """
    pool = compositions()
    familiar = [composition for composition in pool if not composition.is_unseen]
    novel = [composition for composition in pool if composition.is_unseen]
    # 97 and 53 share no factor with the pool sizes (284, 94): strides that mix all attributes.
    head = [familiar[k * 97 % len(familiar)] for k in range(LONGTAIL_KNOWN + LONGTAIL_SEEN)]
    tail = [novel[k * 53 % len(novel)] for k in range(LONGTAIL_UNSEEN)]
    groups = ["seen" if rank % 4 == 3 else "known" for rank in range(len(head))]
    groups += ["unseen"] * len(tail)
    concepts = tuple(
        replace(thing_concept(composition), group=group)
        for composition, group in zip(head + tail, groups, strict=True)
    )
    zipf = tuple(1.0 / (rank + 3) for rank in range(len(concepts)))
    return World(
        "longtail",
        Vocabulary(concepts, name="synthetic:longtail"),
        (*head, *tail),
        train_shares=zipf,
        test_shares=tuple(share**0.5 for share in zipf),
        annotated_groups=("known",),
        train_groups=("known", "seen"),
        scene_key="longtail",
    )


JARGON = {
    "resistor": "striped brown square",
    "capacitor": "plain blue circle",
    "diode": "zigzag red arrow",
    "transistor": "striped yellow triangle",
    "inductor": "marbled cyan ring",
    "relay": "checkered purple square",
    "thermistor": "dotted red circle",
    "varactor": "dotted brown cross",
    "solenoid": "striped blue ring",
    "thyristor": "checkered green crescent",
    "photodiode": "plain yellow star",
    "piezo": "striped red heart",
}


def _jargon() -> World:
    """12 known-looking things under names that no text encoder of ours has read, and stuff."""
    things = tuple(Composition.parse(name) for name in JARGON.values())
    concepts = tuple(Concept(name, kind="thing", group="seen") for name in JARGON)
    vocabulary = Vocabulary(concepts + stuff_concepts(), name="synthetic:jargon")
    even = (1.0,) * len(things)
    return World("jargon", vocabulary, things, even, even, scene_key="jargon")


WORLDS: dict[str, Callable[[], World]] = {
    "base": _base,
    "base-15-5": _base_15_5,
    "longtail": _longtail,
    "jargon": _jargon,
    **{name: _in_weather(name) for name in WEATHERS},
}


def world_names() -> tuple[str, ...]:
    """The names that `make_world` knows."""
    return tuple(WORLDS)


def make_world(name: str) -> World:
    """The world called `name`; raises `SegtuneError` (a `ValueError`) for an unknown one.

    Example:
        >>> world = make_world("jargon")
        >>> world.vocabulary.names[:2], world.compositions[0].name
        (('resistor', 'capacitor'), 'striped brown square')
    """
    if name not in WORLDS:
        raise SegtuneError(
            f"there is no synthetic world {name!r}; use one of {', '.join(WORLDS)}, "
            "for example synthetic:base"
        )
    return WORLDS[name]()
