"""Samples of label tools: objects that are drawn one over the other on a photograph."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtune.data.masks.drawing import Drawing, draw
from segtune.data.masks.frames import Frame, frame_of
from segtune.data.masks.shapes import ShapeError
from segtune.data.samples import Record
from segtune.errors import DataError
from segtune.storage.images import Header, read_header
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary

VOID_NAMES = ("__ignore__", "ignore", "void", "unlabelled", "unlabeled", "unknown")
"""Classes of pixels that nobody names."""
BACKGROUND_NAMES = ("_background_", "background", "__background__", "bg")
"""The class of pixels on which nothing is drawn."""


@dataclass(frozen=True)
class DrawnRecord(Record):
    """A record of a label tool.

    Attributes:
        entry: of the image in the tool's file.
        stated_size: (height, width) of the image by the tool's file.
    """

    entry: Any = None
    stated_size: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Drawn:
    """One object as a tool stores it.

    Attributes:
        class_id: of the vocabulary, or `IGNORE` for pixels without a class.
        drawing: its shape.
        name: what messages call it, such as "shape 3 (car)".
        group: those with an equal one are one object; None is an object of its own.
        is_crowd: it is a region of many objects.
        is_object: it is to be listed as an object, and not painted only.
    """

    class_id: int
    drawing: Drawing
    name: str
    group: Hashable = None
    is_crowd: bool = False
    is_object: bool = True


def drawn_sample(
    record: DrawnRecord,
    things: Sequence[Drawn],
    *,
    file: Path,
    background: int = IGNORE,
    pixels: np.ndarray | None = None,
) -> Sample:
    """Returns the sample with all objects, and their label map, later ones above earlier ones.

    Args:
        record: of the image.
        things: in the order in which they are painted.
        file: that describes them, for messages.
        background: class of pixels on which nothing is drawn.
        pixels: (H, W, 3) uint8 of images that are not in a file of their own.

    Raises:
        DataError: a shape is damaged or does not fit the image.
    """
    header = read_header(record.image) if pixels is None else Header(pixels.shape[:2])
    frame = frame_of(header, record.stated_size, what=f"{file} ({record.image.name})")
    semantic = np.full(header.upright, background, np.int32)
    groups: dict[Hashable, Instance] = {}
    for number, thing in enumerate(things):
        mask = _drawn(thing, frame, file)
        semantic[mask] = thing.class_id
        if thing.class_id == IGNORE or not thing.is_object:
            continue
        key = (thing.class_id, number if thing.group is None else ("group", thing.group))
        if key in groups:
            mask = groups[key].mask | mask
        groups[key] = Instance(thing.class_id, mask, is_crowd=thing.is_crowd)
    image = record.image if pixels is None else pixels
    return Sample(record.id, image, semantic, tuple(groups.values()))


def _drawn(thing: Drawn, frame: Frame, file: Path) -> np.ndarray:
    try:
        return draw(thing.drawing, frame)
    except ShapeError as error:
        raise DataError(f"{file}: {thing.name} {error}; correct it in the tool") from None


def classes_of_names(
    names: Sequence[str], *, name: str, used: Collection[str], background: bool = False
) -> tuple[Vocabulary, dict[str, int], int]:
    """Returns the vocabulary, name -> class id, and the class of pixels on which nothing is drawn.

    The last is that of `BACKGROUND_NAMES` where there is one that nobody draws, else `IGNORE`.

    Args:
        names: labels of a tool, in order; those of `VOID_NAMES` are `IGNORE`.
        name: of the vocabulary.
        used: labels that are drawn.
        background: pixels on which nothing is drawn are a class, which is added where it lacks.

    Example:
        >>> words, ids, rest = classes_of_names(["_background_", "cat"], name="x", used=["cat"])
        >>> words.names, ids, rest
        (('background', 'cat'), {'_background_': 0, 'cat': 1}, 0)
    """
    listed = list(dict.fromkeys(names))
    rest_name = next((each for each in listed if each.lower() in BACKGROUND_NAMES), None)
    if background and rest_name is None:
        rest_name = "background"
        listed.insert(0, rest_name)
    ids: dict[str, int] = {}
    concepts: list[Concept] = []
    for label in listed:
        if label.strip().lower() in VOID_NAMES:
            ids[label] = IGNORE
            continue
        ids[label] = len(concepts)
        is_rest = label == rest_name
        concepts.append(Concept("background", kind="stuff") if is_rest else Concept(label))
    if not concepts:
        raise DataError(f"{name} has no object with a name")
    is_drawn = rest_name is None or (rest_name in used and not background)
    rest = IGNORE if is_drawn or rest_name is None else ids[rest_name]
    return Vocabulary(tuple(concepts), name=name), ids, rest


def background_asked(background: str | None) -> bool:
    """Returns whether `?background=class` was given.

    Raises:
        DataError: it is something else than "class" or "ignore".
    """
    if background not in (None, "ignore", "class"):
        raise DataError(f"background={background} is not known; use background=ignore or =class")
    return background == "class"
