"""Colour-coded label maps, and the table of what their colours mean."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from segtune.data.formats.maps.color_table import VOC_BORDER
from segtune.export.trees.base import TreeSink, label_map, write_png
from segtune.storage.files import atomic_write
from segtune.types import Segmentation, Vocabulary
from segtune.viz.palette import MAX_DISTINCT, class_colors, palette

TABLE = "class_dict.csv"
PLAIN = re.compile(r"[^\W\d][\w .()/-]*")
"""Names that are read back as they are without quotes."""
RESERVED = ((0, 0, 0), VOC_BORDER)
"""Colours that readers take for unlabelled."""


class ColorSink(TreeSink):
    """Writes FOLDER/NAME.png as results come, and class_dict.csv beside `labels` at the end."""

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the map of an image; black is unlabelled."""
        write_png(
            self._place / f"{name}.png", painted(label_map(result), distinct(self._vocabulary))
        )

    def close(self) -> list[Path]:
        """Writes the table; returns the folder and it."""
        above = (self._place, *self._place.parents)
        labels = next((f for f in above if f.name == "labels"), self._place)
        table = labels.with_name(TABLE)
        write_table(table, self._vocabulary)
        return [self._place, table]


def write_table(path: Path, vocabulary: Vocabulary) -> None:
    """Writes name,r,g,b of every class; names that are more than words are quoted."""
    lines = ["name,r,g,b\n"]
    for word, (r, g, b) in zip(vocabulary.names, distinct(vocabulary).tolist(), strict=True):
        doubled = word.replace('"', '""')
        name = word if PLAIN.fullmatch(word) else f'"{doubled}"'
        lines.append(f"{name},{r},{g},{b}\n")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def distinct(vocabulary: Vocabulary) -> np.ndarray:
    """Returns (K, 3) uint8 RGB, the colours of the classes but where two would be told apart.

    A class whose colour is taken, black or that of VOC's borders gets the next free one of the
    palette.

    Example:
        >>> from segtune.types import Concept
        >>> words = Vocabulary((Concept("a", color=(1, 2, 3)), Concept("b", color=(1, 2, 3))))
        >>> distinct(words)[0].tolist(), distinct(words)[1].tolist() != [1, 2, 3]
        ([1, 2, 3], True)
    """
    taken = set(RESERVED)
    wanted = [(r, g, b) for r, g, b in class_colors(vocabulary).tolist()]
    free = iter(
        [(r, g, b) for r, g, b in palette(MAX_DISTINCT).tolist()]
        + [(n % 251, n // 251 % 251, n // 63001 + 2) for n in range(2 * len(wanted))]
    )
    colors = []
    owned = set(wanted)
    for color in wanted:
        if color in taken:
            color = next(c for c in free if c not in taken and c not in owned)
        taken.add(color)
        colors.append(color)
    return np.array(colors, np.uint8).reshape(-1, 3)


def painted(labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Returns the (H, W, 3) uint8 picture of (H, W) class ids; what is unlabelled is black."""
    table = np.concatenate([colors, np.zeros((1, 3), np.uint8)])
    return np.asarray(table[labels])
