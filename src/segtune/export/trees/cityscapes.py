"""Cityscapes and KITTI, for data whose classes are theirs.

gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png, _labelTrainIds.png, _instanceIds.png
training/semantic/NAME.png   training/instance/NAME.png          KITTI
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.cityscapes import INSTANCE_IDS, RAW_IDS, TRAIN_IDS
from segtune.errors import SegtuneError, listed
from segtune.export.sinks import ImageRef
from segtune.export.trees.base import TreeSink, check_number, label_map, object_map, write_png
from segtune.types import IGNORE, Segmentation, Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids

UNLABELLED_RAW, UNLABELLED_TRAIN = 0, 255


class CityscapesSink(TreeSink):
    """Writes three maps per image: raw ids, training ids, and raw id * 1000 + object."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to.

        Raises:
            SegtuneError: a class is none of the 19.
        """
        super().open(place, vocabulary, images=images)
        self._train_ids = np.array([*train_ids(vocabulary), IGNORE])

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the maps of an image."""
        train, raw, objects = self._maps(result, scale=1000, first=0)
        stem = f"{self._place}/{name}"
        write_png(Path(f"{stem}{TRAIN_IDS}.png"), train)
        write_png(Path(f"{stem}{INSTANCE_IDS}.png"), objects)
        write_png(Path(f"{stem}{RAW_IDS}.png"), raw)

    def _maps(
        self, result: Segmentation, *, scale: int, first: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns training ids and raw ids, (H, W) uint8, and objects, (H, W) uint16.

        Args:
            result: of an image.
            scale: an object is raw id * scale + its number; all else is its raw id.
            first: number of the first object of a class.
        """
        ids = self._train_ids[label_map(result)]
        raw_ids = np.array([*category_ids("cityscapes_19"), UNLABELLED_RAW])
        raw = raw_ids[ids]
        objects = raw.copy()
        for train_id, concept in enumerate(builtin("cityscapes_19")):
            if concept.kind != "thing":
                continue
            own = [s for s in result.segments if self._train_ids[s.class_id] == train_id]
            check_number(len(own), most=scale - first, what=f"the object map of a {concept.name}")
            numbers = object_map(own, result.size)
            inside = (numbers > 0) & (ids == train_id)
            objects[inside] = raw_ids[train_id] * scale + numbers[inside] - 1 + first
        train = np.where(ids == IGNORE, UNLABELLED_TRAIN, ids)
        return train.astype(np.uint8), raw.astype(np.uint8), objects.astype(np.uint16)


class KittiSink(CityscapesSink):
    """Writes raw ids, and raw id * 256 + object beside them; `place` is training/semantic."""

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the maps of an image."""
        _, raw, objects = self._maps(result, scale=256, first=1)
        objects = np.where(objects == raw, objects * np.uint16(256), objects)
        write_png(self._place.with_name("instance") / f"{name}.png", objects)
        write_png(self._place / f"{name}.png", raw)


def train_ids(vocabulary: Vocabulary) -> list[int]:
    """Returns the class of Cityscapes that each class is, by any of its names.

    Raises:
        SegtuneError: one is none of them.
    """
    known = builtin("cityscapes_19")
    by_name = {name.lower(): i for i, concept in enumerate(known) for name in concept.names}
    found = []
    for concept in vocabulary:
        own = [by_name[n.lower()] for n in concept.names if n.lower() in by_name]
        if not own:
            raise SegtuneError(
                f"Cityscapes has no class {concept.name!r}; rename classes with --vocab to "
                f"{listed(known.names)}, or write png"
            )
        found.append(own[0])
    return found
