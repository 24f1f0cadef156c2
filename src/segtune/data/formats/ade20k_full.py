"""ADE20K full, the release of 2021, with the 847 classes of the open-vocabulary benchmark A-847.

    ADE20K_2021_17_01/images/ADE/{training,validation}/<kind>/<scene>/<image>.jpg
    ADE20K_2021_17_01/images/ADE/{training,validation}/<kind>/<scene>/<image>_seg.png

    ADE20K_2021_17_01/images_detectron2/{training,validation}/*.jpg
    ADE20K_2021_17_01/annotations_detectron2/{training,validation}/*.tif    16-bit, 65535 unlabelled

The first tree is the download as it is; the second is what the preparation script of the benchmark
makes of it, and is read where both are there. In `*_seg.png` the object id of a pixel is
(R // 10) * 256 + G; the 847 ids that are classes come with the built-in vocabulary, so that
`index_ade20k.pkl` is never opened. Images whose shorter side exceeds 512 pixels are shrunk to it,
as the benchmark does: its scores belong to that size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtune.data.folders import (
    choose_split,
    find_files,
    find_splits,
    named_as,
    pair_by_stem,
    split_folder,
)
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.labels import ValueMap, check_size
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.storage.images import read_image
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids

NAME = "ade20k_847"
ROOT = "ADE20K_2021_17_01"
PUBLISHED = Path("images", "ADE")
IMAGES, LABELS = "images_detectron2", "annotations_detectron2"
ENDING = "_seg"
LARGEST_ID = (255 // 10) * 256 + 255
SHORT_SIDE = 512
"""Longest shorter side of an image of the benchmark, in pixels."""


def detect(path: Path) -> float:
    """Returns 1 for the folder of the release, in either form, or for its parent, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have both images and labels."""
    root = _root(path)
    if _is_prepared(root):
        return find_splits(root / IMAGES, root / LABELS)
    return tuple(
        split
        for split in find_splits(root / PUBLISHED)
        if next(_scenes(root / PUBLISHED, split), None) is not None
    )


def _root(path: Path) -> Path:
    places = (path, path / ROOT)
    return next((p for p in places if _is_prepared(p) or (p / PUBLISHED).is_dir()), path)


def _is_prepared(root: Path) -> bool:
    return (root / IMAGES).is_dir() and (root / LABELS).is_dir()


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split of ADE20K with 847 classes.

    Args:
        path: `ADE20K_2021_17_01` or the folder that holds it.
        split: "train" or "val".
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    root = _root(path)
    names = named_as(builtin(NAME), vocabulary, layout=NAME)
    if _is_prepared(root):
        images, labels = (split_folder(root / name, split) for name in (IMAGES, LABELS))
        assert images is not None  # choose_split found both
        assert labels is not None
        records = pair_by_stem(find_files(images), find_files(labels, LABEL_SUFFIXES))
        return IndexedDataset(NAME, split, names, records, SemanticLoader(ValueMap.plain(847)))
    files = [file for folder in _scenes(root / PUBLISHED, split) for file in find_files(folder)]
    records = pair_by_stem(
        (file for file in files if file.suffix.lower() == ".jpg"),
        (file for file in files if file.suffix.lower() == ".png"),
        label_ending=ENDING,
    )
    values = ValueMap.of_values(category_ids(NAME), ignored=range(LARGEST_ID + 1))
    return IndexedDataset(NAME, split, names, records, PublishedLoader(values))


def _scenes(folder: Path, split: str) -> Iterator[Path]:
    """Yields the folders of a split that hold label maps, in order.

    Every image has a folder of its own name beside it with one mask per object: those are not
    entered, there are 27,000 of them.
    """
    top = split_folder(folder, split)
    for place, folders, files in os.walk(top or folder):
        folders[:] = sorted(name for name in folders if not name.startswith("ADE_"))
        if any(file.endswith(f"{ENDING}.png") for file in files):
            yield Path(place)


@dataclass(frozen=True)
class PublishedLoader:
    """Reads an image and its `*_seg.png`, both shrunk to the size of the benchmark.

    Attributes:
        values: object id -> class id.
    """

    values: ValueMap

    def __call__(self, record: Record) -> Sample:
        assert record.label is not None  # pair_by_stem gives every record its label
        channels = read_image(record.label).astype(np.int32)
        check_size(channels.shape[:2], path=record.label, image=record.image)
        semantic = self.values.decode(object_ids(channels), path=record.label)
        size = benchmark_size((semantic.shape[0], semantic.shape[1]))
        return Sample(record.id, shrunk(read_image(record.image), size), _picked(semantic, size))


def object_ids(channels: np.ndarray) -> np.ndarray:
    """Returns the (H, W) int32 object ids of an (H, W, 3) RGB label map; 0 is no object.

    Example:
        >>> object_ids(np.array([[[110, 162, 7]]])).tolist()
        [[2978]]
    """
    wide = channels.astype(np.int32)
    return wide[..., 0] // 10 * 256 + wide[..., 1]


def benchmark_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns (H, W) with the shorter side 512, or as it is where it is no longer than that.

    Example:
        >>> benchmark_size((1024, 1537)), benchmark_size((512, 2000))
        ((512, 768), (512, 2000))
    """
    height, width = size
    if min(size) <= SHORT_SIDE:
        return size
    if width >= height:
        return SHORT_SIDE, round(width / height * SHORT_SIDE)
    return round(height / width * SHORT_SIDE), SHORT_SIDE


def shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns an (H, W, 3) uint8 image at `size`, bilinear without antialiasing, rounded.

    The benchmark was prepared without antialiasing, so its images alias.
    """
    import torch
    from torch.nn import functional as F

    if image.shape[:2] == size:
        return image
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(planes, size, mode="bilinear", align_corners=False)[0]
    return resized.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _picked(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns (H, W) labels at `size`: the value at floor(i * H / h)."""
    rows = np.arange(size[0]) * labels.shape[0] // size[0]
    columns = np.arange(size[1]) * labels.shape[1] // size[1]
    return labels[np.ix_(rows, columns)]
