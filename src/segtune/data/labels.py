"""What the raw values of a label map mean: class ids, and `IGNORE` for unlabelled ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from segtune.data.images import IGNORE_8_BIT, IGNORE_16_BIT, read_label_map
from segtune.data.masks.files import read_nearest
from segtune.errors import DataError
from segtune.storage.images import image_size, read_header
from segtune.types import IGNORE

_UNKNOWN = IGNORE - 1


@dataclass(frozen=True)
class ValueMap:
    """The class id of every raw value that may occur in a label map.

    Attributes:
        ids: raw value 0..65535 -> class id or `IGNORE`.
        declared: values that the user named; JPEG maps, whose compression changes values, are read
            by the nearest of them.

    Example:
        >>> ade20k = ValueMap.of_values(range(1, 151), ignored=[0])
        >>> ade20k.decode(np.array([[0, 1, 150]])).tolist()
        [[-1, 0, 149]]
    """

    ids: Mapping[int, int]
    declared: tuple[int, ...] = ()

    @classmethod
    def of_values(cls, values: Sequence[int], *, ignored: Iterable[int] = ()) -> ValueMap:
        """Returns the map in which class i is stored as `values[i]`."""
        ids = dict.fromkeys(ignored, IGNORE) | {value: i for i, value in enumerate(values)}
        return cls(ids)

    @classmethod
    def plain(cls, num_classes: int) -> ValueMap:
        """Returns the map of files that store the class id itself, and 255 or 65535 for unlabelled.

        With more than 255 classes, 255 is a class and only 65535 is unlabelled.
        """
        return cls.of_values(range(num_classes), ignored=(IGNORE_8_BIT, IGNORE_16_BIT))

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.full(IGNORE_16_BIT + 1, _UNKNOWN, np.int32)
        table[list(self.ids)] = list(self.ids.values())
        return table

    def decode(self, raw: np.ndarray, *, path: Path | str = "label map") -> np.ndarray:
        """Returns the class ids of raw values, both (H, W) int32; `path` is for the error message.

        Raises:
            DataError: a value has no meaning in this map.
        """
        inside = (raw >= 0) & (raw <= IGNORE_16_BIT)
        labels = self._table[raw.clip(0, IGNORE_16_BIT)]
        wrong = ~inside | (labels == _UNKNOWN)
        if wrong.any():
            classes = [value for value, class_id in self.ids.items() if class_id != IGNORE]
            unlabelled = [str(value) for value, class_id in self.ids.items() if class_id == IGNORE]
            others = " or ".join(unlabelled) or "none"
            raise DataError(
                f"{path} has the value {raw[wrong].min()}, which is no class: {len(classes)} "
                f"classes use {min(classes)} to {max(classes)}, "
                f"unlabelled is {others}; check the vocabulary and the layout, or say what values "
                "mean with --label-values 0=road,7=car"
            )
        return labels


def read_semantic(path: Path, *, image: Path, values: ValueMap) -> np.ndarray:
    """Returns the (H, W) int32 class ids of a label file, which must have the size of its image."""
    raw = read_nearest(path, values.declared) if values.declared else read_label_map(path)
    check_size(raw.shape, path=path, image=image)
    return values.decode(raw, path=path)


def check_size(size: tuple[int, ...], *, path: Path, image: Path) -> None:
    """Raises `DataError` where labels of (H, W) `size` do not fit their image file."""
    height, width = image_size(image)
    if size == (height, width):
        return
    hint = "labels must have the size of the image"
    if size == (width, height) and read_header(image).is_sideways:
        hint = "the image is stored sideways and turned by EXIF; turn the label map in the same way"
    raise DataError(
        f"{path} is {size[1]}x{size[0]} but its image {image.name} is {width}x{height}; {hint}"
    )
