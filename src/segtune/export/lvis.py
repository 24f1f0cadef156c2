"""LVIS annotations: COCO's, with what was looked for in each image and how frequent classes are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.coco.files import FREQUENCIES
from segtune.data.formats.coco.instances import result_entries
from segtune.export.coco import open_document
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary

MOST_IMAGES = {"r": 10, "c": 100}
"""Images with a class, at most, for it to be rare or common."""
ABSENT, NOT_EXHAUSTIVE = "absent_ids", "not_exhaustive_ids"
"""Where `Segmentation.source` has the lists of a sample, as class ids."""


class LvisSink:
    """Writes one JSON file when it is closed.

    A result that does not say which classes are absent has been searched for all of them. Classes
    without a tag of LVIS are as frequent as they are in the file.
    """

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the lists of the file."""
        self._document = open_document(place, vocabulary, images)
        self._vocabulary = vocabulary
        self._objects = np.zeros(len(vocabulary), np.int64)
        self._images = np.zeros(len(vocabulary), np.int64)

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Adds the segments of an image, and its lists."""
        numbers = self._document.category_ids
        there = {segment.class_id for segment in result.segments}
        absent = result.source.get(ABSENT)
        if absent is None:
            absent = [i for i in range(len(self._vocabulary)) if i not in there]
        lists = {
            "neg_category_ids": [numbers[i] for i in absent],
            "not_exhaustive_category_ids": [
                numbers[i] for i in result.source.get(NOT_EXHAUSTIVE, ())
            ],
        }
        image_id = self._document.add_image(name, result.size, lists)
        for entry in result_entries(result, image_id=image_id, category_ids=numbers):
            number = self._document.num_annotations + 1
            self._document.add_annotation({"id": number, **entry, "iscrowd": 0})
        for segment in result.segments:
            self._objects[segment.class_id] += 1
        self._images[sorted(there)] += 1

    def close(self) -> list[Path]:
        """Writes the file and returns its path."""
        letters = {tag: letter for letter, tag in FREQUENCIES.items()}
        counts = zip(self._images.tolist(), self._objects.tolist(), strict=True)
        for entry, concept, (images, objects) in zip(
            self._document.categories, self._vocabulary, counts, strict=True
        ):
            counted = next((x for x, most in MOST_IMAGES.items() if images <= most), "f")
            entry["frequency"] = letters.get(concept.group or "", counted)
            entry |= {"image_count": images, "instance_count": objects}
        return [self._document.close()]

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._document.abort()
