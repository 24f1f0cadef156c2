"""ACDC: the 19 Cityscapes classes in fog, at night, in rain and in snow.

    rgb_anon/{fog,night,rain,snow}/{train,val}/<sequence>/<frame>_rgb_anon.png
    gt/{fog,night,rain,snow}/{train,val}/<sequence>/<frame>_gt_labelTrainIds.png   0..18, 255

`?condition=night` reads one of the four; protocols train and test per condition.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import choose_split, find_files, named_as, pair_by_stem
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin

CONDITIONS = ("fog", "night", "rain", "snow")
SPLITS = ("train", "val")


def detect(path: Path) -> float:
    """Returns 1 where `path` has both folders of the data set, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have labels in any condition."""
    return tuple(s for s in SPLITS if any(_has(path, condition, s) for condition in CONDITIONS))


def _has(path: Path, condition: str, split: str) -> bool:
    frames = (path / "rgb_anon" / condition / split).glob("*/*_rgb_anon.png")
    labels = (path / "gt" / condition / split).glob("*/*_gt_labelTrainIds.png")
    return any(frames) and any(labels)


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    condition: str | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of ACDC, of one condition or of all.

    Args:
        path: the folder with `rgb_anon/` and `gt/`.
        split: "train" or "val".
        vocabulary: other names for the 19 classes.
        condition: "fog", "night", "rain" or "snow"; None for all four.
    """
    if condition not in (None, *CONDITIONS):
        raise DataError(f"condition={condition} is not known; use {', '.join(CONDITIONS)}")
    split = choose_split(splits(path), split, path=path)
    images: list[Path] = []
    labels: list[Path] = []
    for name in (condition,) if condition is not None else CONDITIONS:
        if _has(path, name, split):
            images += _frames(path / "rgb_anon" / name / split)
            labels += _frames(path / "gt" / name / split)
    records = pair_by_stem(
        images, labels, image_ending="_rgb_anon", label_ending="_gt_labelTrainIds"
    )
    names = named_as(builtin("cityscapes_19"), vocabulary, layout="acdc")
    name = "acdc" if condition is None else f"acdc-{condition}"
    return IndexedDataset(name, split, names, records, SemanticLoader(ValueMap.plain(19)))


def _frames(folder: Path) -> list[Path]:
    """Returns the files of all sequences in a folder."""
    sequences = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    return [file for sequence in sequences for file in find_files(sequence)]
