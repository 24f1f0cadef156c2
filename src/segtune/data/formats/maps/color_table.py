"""Which class a colour is, as tools write it beside their colour-coded label maps.

name,r,g,b                       class_dict.csv, classes.csv; a header and an id before are fine
64 128 64<tab>Animal             label_colors.txt of CamVid
cat:128,0,0::                    labelmap.txt of CVAT
cat #800000                      any text
vocabulary.json                  classes with "color"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from segtune.data.drawn import BACKGROUND_NAMES, VOID_NAMES
from segtune.data.labels import ValueMap, check_size
from segtune.data.masks.files import packed, read_stored
from segtune.data.samples import Record
from segtune.errors import DataError
from segtune.types import IGNORE, Concept, Sample, Vocabulary
from segtune.vocabulary.colors import Color, read_color
from segtune.vocabulary.parse import parse_vocabulary, read_text

TABLE_FILES = (
    "labelmap.txt",
    "class_dict.csv",
    "classes.csv",
    "colors.csv",
    "label_colors.txt",
    "colors.txt",
    "_classes.csv",
    "classes.txt",
    "labels.txt",
)
VOC_BORDER: Color = (224, 224, 192)
"""The colour of VOC for borders that nobody names."""
OTHER_VOIDS = (*VOID_NAMES, "unlabeled pixel", "void/unlabelled")

_NUMBERS = re.compile(r"(?<![\w.#])\d{1,9}(?:[\s,;]+\d{1,9}){2,}(?![\w.])")
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_OF_CVAT = re.compile(r"(.+):(\d{1,3}),(\d{1,3}),(\d{1,3}):[^:]*:[^:]*")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})')


@dataclass(frozen=True)
class ColorTable:
    """Colours of label maps.

    Attributes:
        vocabulary: the classes, with their colours.
        ids: colour -> class id, or `IGNORE`.
    """

    vocabulary: Vocabulary
    ids: dict[Color, int]

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        known = {(0, 0, 0): IGNORE, VOC_BORDER: IGNORE} | self.ids
        colors = packed(np.array([list(known)], np.uint8))[0]
        order = np.argsort(colors)
        return colors[order], np.array(list(known.values()), np.int32)[order]

    def decode(self, colors: np.ndarray, *, path: Path) -> np.ndarray:
        """Returns the (H, W) int32 class ids of (H, W, 3) uint8 colours.

        Black, and the border of VOC, are unlabelled where they are no class.

        Raises:
            DataError: a colour is not in the table.
        """
        known, ids = self._sorted
        values = packed(colors)
        places = np.searchsorted(known, values).clip(0, len(known) - 1)
        wrong = known[places] != values
        if wrong.any():
            color = colors[wrong][0]
            near = min(self.ids, key=lambda c: np.abs(np.array(c) - color.astype(int)).sum())
            name = self.vocabulary.names[self.ids[near]] if self.ids[near] != IGNORE else "void"
            raise DataError(
                f"{path} has the colour {tuple(color.tolist())}, which is no class, on "
                f"{100 * wrong.mean():.1f} % of its pixels; the nearest is {name} {near}; add the "
                "colour to the table, or save maps without antialiasing"
            )
        return ids[places]


def read_color_table(path: Path) -> ColorTable:
    """Returns the table of a file.

    Raises:
        DataError: a class has no colour, or two have the same.
    """
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        words = parse_vocabulary(path, in_label_order=True)
        pairs = [(concept.name, concept.color) for concept in words]
    else:
        pairs = _pairs(read_text(path, what="colour table"))
    if lacking := [name for name, color in pairs if color is None]:
        raise DataError(
            f"{path} gives {lacking[0]!r} no colour; write lines such as road,128,64,128"
        )
    return color_table([(n, c) for n, c in pairs if c is not None], name=path.stem, where=str(path))


def color_table(pairs: Sequence[tuple[str, Color]], *, name: str, where: str) -> ColorTable:
    """Returns the table of (class name, colour) pairs; `where` is for messages.

    A class that repeats has several colours.
    """
    ids: dict[Color, int] = {}
    concepts: dict[str, Concept] = {}
    for label, color in pairs:
        is_void = label.strip().lower() in OTHER_VOIDS
        is_rest = label.strip().lower() in BACKGROUND_NAMES
        known = "background" if is_rest else label
        if not is_void:
            concept = Concept(known, kind="stuff" if is_rest else "thing", color=color)
            concepts.setdefault(known, concept)
        class_id = IGNORE if is_void else list(concepts).index(known)
        if ids.setdefault(color, class_id) != class_id:
            raise DataError(f"{where} gives two classes the colour {color}; change one of them")
    if not concepts:
        raise DataError(f"{where} has no class with a colour; write road,128,64,128 in a line")
    return ColorTable(Vocabulary(tuple(concepts.values()), name=name), ids)


def is_color_table(path: Path) -> bool:
    """Whether most lines of a text file have a colour."""
    if not path.is_file():
        return False
    pairs = _pairs(read_text(path, what="colour table"))
    return len(pairs) > 0 and sum(color is not None for _, color in pairs) > len(pairs) / 2


def find_color_table(path: Path) -> Path | None:
    """Returns the table in a folder or the one above it; None where there is none."""
    places = (path, path.parent)
    files = (place / name for place in places for name in TABLE_FILES)
    return next((file for file in files if is_color_table(file)), None)


def _pairs(text: str) -> list[tuple[str, Color | None]]:
    """Returns name and colour of every line; a header is left out."""
    pairs: list[tuple[str, Color | None]] = []
    for line in text.splitlines():
        content = line.strip()
        color, name = _taken_apart(content)
        is_comment = (content.startswith("#") and color is None) or content.startswith("# ")
        if not content or is_comment or (color is None and _is_header(content)):
            continue
        pairs.append((name, color))
    return pairs


def _is_header(line: str) -> bool:
    words = {word.strip().lower() for word in re.split(r"[,;:\s]+", line)}
    return {"r", "g", "b"} <= words or {"red", "green", "blue"} <= words


def _taken_apart(line: str) -> tuple[Color | None, str]:
    """Returns the colour in a line, and what else stands there."""
    if exact := _OF_CVAT.fullmatch(line) or _QUOTED.fullmatch(line):
        return read_color([int(n) for n in exact.groups()[1:]]), exact[1].replace('""', '"')
    if found := _HEX.search(line):
        return read_color(found[0]), _name(line.replace(found[0], " "))
    if found := _NUMBERS.search(line):
        numbers = re.split(r"[\s,;]+", found[0])[-3:]
        return read_color([int(number) for number in numbers]), _name(line.replace(found[0], " "))
    return None, _name(line)


def _name(rest: str) -> str:
    rest = re.sub(r"^\s*\d+\s*[,;:\s]", "", rest.strip())
    first = next((part for part in re.split(r"[,;:\t]", rest) if part.strip()), "")
    return first.strip().strip("\"'()[] ")


@dataclass(frozen=True)
class ColorLoader:
    """Reads a record whose label map is in colours, by palette or by pixel.

    Attributes:
        table: what colours mean.
        values: what numbers mean in maps of one channel; None where there are only colours.
    """

    table: ColorTable
    values: ValueMap | None = None

    def __call__(self, record: Record) -> Sample:
        assert record.label is not None  # pairing gives every record its label
        return Sample(record.id, record.image, self.labels(record.label, record.image))

    def labels(self, path: Path, image: Path) -> np.ndarray:
        """Returns the (H, W) int32 class ids of a label file."""
        stored = read_stored(path, what="label map")
        check_size(stored.values.shape[:2], path=path, image=image)
        is_grey = not stored.is_coloured and stored.mode not in ("RGB", "RGBA")
        if is_grey and self.values is not None:
            return self.values.decode(stored.values.astype(np.int32), path=path)
        if stored.is_lossy:
            raise DataError(f"label map {path} is a JPEG, whose colours change; save it as .png")
        colors = stored.colors()
        if colors is None:
            raise DataError(f"{path} is grey, but a table of colours is given; see its values")
        return self.table.decode(colors, path=path)
