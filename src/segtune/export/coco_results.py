"""COCO results: the list of scored masks that evaluation servers and pycocotools take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segtune.data.formats.coco.files import image_id_of
from segtune.data.formats.coco.instances import result_entries
from segtune.export.sinks import ImageRef
from segtune.storage.json_array import JsonArray
from segtune.types import Segmentation, Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids

OFFICIAL = ("coco_80", "coco_133")
"""Vocabularies whose classes have the category ids of COCO."""


class CocoResultsSink:
    """Writes one JSON list, when it is closed; entries lie in an unnamed file before.

    Attributes:
        category_ids: number of each class; COCO's own, else 1, 2, 3, ..., where None.
    """

    category_ids: Sequence[int] | None = None

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the list."""
        self._images = images
        given = self.category_ids
        self._ids = official_ids(vocabulary) if given is None else given
        self._num_images = 0
        self._entries = JsonArray(place)

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Adds the scored masks of an image."""
        known = None if self._images is None else {key: i.id for key, i in self._images.items()}
        image_id = image_id_of(name, self._num_images, known)
        self._num_images += 1
        for entry in result_entries(result, image_id=image_id, category_ids=self._ids):
            self._entries.append(entry)

    def close(self) -> list[Path]:
        """Writes the file and returns its path."""
        return [self._entries.close()]

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._entries.abort()


def official_ids(vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """Returns COCO's own ids of classes that all have its names; None for other vocabularies.

    Example:
        >>> official_ids(Vocabulary.of("toothbrush", "person"))
        (90, 1)
        >>> official_ids(Vocabulary.of("person", "unicorn")) is None
        True
    """
    for known in OFFICIAL:
        ids = dict(zip(builtin(known).names, category_ids(known), strict=True))
        if all(name in ids for name in vocabulary.names):
            return tuple(ids[name] for name in vocabulary.names)
    return None
