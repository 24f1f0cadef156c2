"""Trees like that of PASCAL VOC, of maps of classes and of objects.

ROOT/SegmentationClass/NAME.png      ROOT/SegmentationObject/NAME.png
ROOT/ImageSets/Segmentation/SPLIT.txt
ROOT/class_names.txt  or  labelmap.txt
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.data.formats.maps.voc_project import BACKGROUND, COLOURED, LISTED
from segtune.data.formats.voc import voc_color
from segtune.data.images import write_label_map
from segtune.errors import SegtuneError
from segtune.export.sinks import ImageRef
from segtune.export.trees.base import TreeSink, label_map, object_map, things_of, write_png
from segtune.export.trees.colors import distinct, painted
from segtune.storage.files import atomic_write
from segtune.types import Segment, Segmentation, Vocabulary

BLACK = (0, 0, 0)


class VocSink(TreeSink):
    """Writes maps as results come; the list of images and the classes when it is closed.

    A class map has the number of a class, its line in `class_names.txt`, 255 where there is none.
    An object map counts objects from 1.
    """

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; `place` is the list, in ImageSets/Segmentation/.

        Raises:
            SegtuneError: a class has a name that a list of classes cannot hold.
        """
        super().open(place, vocabulary, images=images)
        self._root = place.parents[2] if place.parent.name == "Segmentation" else place.parent
        self._names: list[str] = []
        if broken := [name for name in vocabulary.names if "\n" in name or "\r" in name]:
            raise SegtuneError(f"the class {broken[0]!r} has a line break; rename it with --vocab")

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes both maps of an image."""
        self._write_classes(self._root / "SegmentationClass" / f"{name}.png", label_map(result))
        numbers = object_map(self._objects(result), result.size)
        self._write_objects(self._root / "SegmentationObject" / f"{name}.png", numbers)
        self._names.append(name)

    def _objects(self, result: Segmentation) -> list[Segment]:
        return things_of(result)

    def _write_classes(self, path: Path, labels: np.ndarray) -> None:
        colors = [(r, g, b) for r, g, b in distinct(self._vocabulary).tolist()]
        write_label_map(path, labels, num_classes=len(self._vocabulary), colors=colors)

    def _write_objects(self, path: Path, numbers: np.ndarray) -> None:
        if numbers.max(initial=0) > 255:
            write_png(path, numbers.astype(np.uint16))
            return
        image = Image.fromarray(numbers.astype(np.uint8))
        image.putpalette([channel for number in range(256) for channel in voc_color(number)])
        with atomic_write(path) as temporary:
            image.save(temporary, format="png")

    def close(self) -> list[Path]:
        """Writes the lists; returns the folders of the maps and the list of images."""
        self._write_names()
        with atomic_write(self._place) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in self._names), encoding="utf-8")
        folders = [self._root / "SegmentationClass", self._root / "SegmentationObject"]
        return [*(folder for folder in folders if folder.is_dir()), self._place]

    def _write_names(self) -> None:
        lines = (BACKGROUND if n == "background" else n for n in self._vocabulary.names)
        with atomic_write(self._root / LISTED) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class CvatMasksSink(VocSink):
    """The same in colours, as CVAT's "segmentation mask 1.1", with labelmap.txt.

    Black is the class `background`, which every project of CVAT has: a pixel without a class is of
    it. CVAT takes up what the map of objects has, so stuff is there too.
    """

    def _objects(self, result: Segmentation) -> list[Segment]:
        return list(result.segments)

    def _colors(self) -> dict[str, tuple[int, int, int]]:
        """Returns class name -> colour, of the background too."""
        colors = {"background": BLACK}
        for name, (r, g, b) in zip(
            self._vocabulary.names, distinct(self._vocabulary).tolist(), strict=True
        ):
            colors.setdefault(name, (r, g, b))
        return colors

    def _write_classes(self, path: Path, labels: np.ndarray) -> None:
        colors = self._colors()
        rows = np.array([colors[name] for name in self._vocabulary.names], np.uint8)
        write_png(path, painted(labels, rows))

    def _write_objects(self, path: Path, numbers: np.ndarray) -> None:
        found, places = np.unique(numbers, return_inverse=True)
        colors = np.array([voc_color(number) for number in found.tolist()], np.uint8)
        write_png(path, colors[places.reshape(numbers.shape)])

    def _write_names(self) -> None:
        lines = [f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in self._colors().items()]
        with atomic_write(self._root / COLOURED) as temporary:
            temporary.write_text(
                "# label:color_rgb:parts:actions\n" + "".join(lines), encoding="utf-8"
            )
