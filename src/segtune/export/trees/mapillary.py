"""Mapillary Vistas as release 2.0 has its version 1.2, with a configuration of any classes.

config_v1.2.json   training/v1.2/labels/NAME.png
                       training/v1.2/instances/NAME.png    class * 256 + object
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segtune.data.formats.coco.files import save_json
from segtune.data.images import write_label_map
from segtune.export.trees.base import (
    TreeSink,
    check_number,
    label_map,
    object_map,
    things_of,
    write_png,
)
from segtune.export.trees.colors import distinct
from segtune.types import IGNORE, Segmentation, Vocabulary

UNLABELLED = "unlabeled"


class MapillarySink(TreeSink):
    """Writes both maps of each image; `place` is training/v1.2/labels."""

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the maps of an image.

        Raises:
            SegtuneError: there are more than 256 objects of a class, or 255 classes.
        """
        count = len(self._vocabulary)
        check_number(count, most=255, what="a label map of Vistas")
        labels = np.where(label_map(result) == IGNORE, count, label_map(result))
        colors = [(r, g, b) for r, g, b in distinct(self._vocabulary).tolist()]
        numbers = labels * 256
        things = things_of(result)
        for class_id in {thing.class_id for thing in things}:
            own = [thing for thing in things if thing.class_id == class_id]
            check_number(len(own), most=256, what="an object map of Vistas")
            objects = object_map(own, result.size)
            inside = (objects > 0) & (labels == class_id)
            numbers[inside] += objects[inside] - 1
        above = self._place.parent
        write_png(above / "instances" / f"{name}.png", numbers.astype(np.uint16))
        write_label_map(
            self._place / f"{name}.png",
            labels,
            num_classes=count + 1,
            colors=[*colors, (0, 0, 0)],
        )


def write_configuration(path: Path, vocabulary: Vocabulary) -> None:
    """Writes the classes in the order of their numbers, unlabelled as the last."""
    labels = [
        {
            "color": color,
            "instances": concept.kind == "thing",
            "readable": concept.name,
            "name": concept.name,
            "evaluate": True,
        }
        for concept, color in zip(vocabulary, distinct(vocabulary).tolist(), strict=True)
    ]
    rest = {"color": [0, 0, 0], "instances": False, "name": "void--unlabeled", "evaluate": False}
    labels.append({**rest, "readable": UNLABELLED})
    save_json(path, {"version": "1.2", "mapping": "public", "labels": labels})
