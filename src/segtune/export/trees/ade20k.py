"""ADE20K full, as released in 2016 and 2017: a map of objects and their names beside each image.

    images/training/NAME_seg.png   NAME_atr.txt

Red and green of a map are the class, R / 10 * 256 + G; blue is the object. A class is called by all
of its names, joined by commas.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.ade20k_2016 import ATTRIBUTES, SEG
from segtune.errors import SegtuneError
from segtune.export.sinks import ImageRef
from segtune.export.trees.base import TreeSink, check_number, object_map, write_png
from segtune.storage.files import atomic_write
from segtune.types import Segmentation, Vocabulary

SEPARATORS = (",", "#", "\n", "\r")
MOST_OBJECTS, MOST_CLASSES = 255, 25 * 256 + 255


class Ade20kSink(TreeSink):
    """Writes both files of each image, with stuff as objects too; `place` is images/training."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to.

        Raises:
            SegtuneError: a name has a comma or another sign that separates names.
        """
        super().open(place, vocabulary, images=images)
        check_number(len(vocabulary), most=MOST_CLASSES, what="ADE20K")
        for name in (name for concept in vocabulary for name in concept.names):
            if sign := next((s for s in SEPARATORS if s in name), None):
                raise SegtuneError(
                    f"the class {name!r} has {sign!r}, which separates names in ADE20K; "
                    "rename it with --vocab"
                )

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the map of an image, and a line per object.

        Raises:
            SegtuneError: there are more than 255 objects.
        """
        numbers = object_map(list(result.segments), result.size)
        shown = np.unique(numbers[numbers > 0])
        check_number(len(shown), most=MOST_OBJECTS, what="an image of ADE20K")
        classes = np.array([0, *(segment.class_id + 1 for segment in result.segments)])
        ids = classes[numbers]
        ranks = np.where(numbers > 0, np.searchsorted(shown, numbers) + 1, 0)
        channels = np.stack([ids // 256 * 10, ids % 256, ranks], axis=-1)
        lines = []
        for rank, number in enumerate(shown.tolist(), start=1):
            concept = self._vocabulary.concepts[result.segments[number - 1].class_id]
            lines.append(f'{rank:03d} # 0 # 0 # {", ".join(concept.names)} # {concept.name} # ""\n')
        with atomic_write(self._place / f"{name}{ATTRIBUTES}") as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
        write_png(self._place / f"{name}{SEG}", channels.astype(np.uint8))
