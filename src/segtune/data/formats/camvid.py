"""CamVid in the SegNet layout: street scenes of 11 classes, filmed in a few sequences.

    train/0001TP_006690.png   trainannot/0001TP_006690.png   (and val, test)

Labels are 8-bit index maps, 0..10 in the order of the built-in `camvid_11`, 11 for unlabelled. The
part of a file name before the underscore is the filming sequence: `0001TP` at dusk, the others by
day, so `?sequence=0001TP` reads one side of a day-to-dusk shift.

There are no objects; `?known=car+pedestrian` takes the connected regions of things for them, in
`train` those of the known classes alone, and calls the other classes unseen; `&smallest=200` leaves
out those of fewer pixels.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.checks.left_out import Found
from segtune.data.folders import choose_split, find_files, has_files, named_as, pair_by_stem
from segtune.data.labels import ValueMap
from segtune.data.masks.components import WithObjects, grouped
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin

SPLITS = ("train", "val", "test")
UNLABELLED = 11
THINGS = ("car", "pedestrian", "bicyclist", "sign symbol", "pole")
"""Classes whose connected regions are taken for objects."""
SMALLEST = 50
"""Pixels of the smallest of these."""


def detect(path: Path) -> float:
    """Returns 0.9 where `path` is a folder in this layout, else 0; maps in colours come first."""
    return 0.9 * bool(splits(path))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have both images and labels."""
    return tuple(s for s in SPLITS if has_files(path / s) and has_files(path / f"{s}annot"))


def sequence_of(sample_id: str) -> str:
    """Returns the filming sequence of a sample, such as "0006R0"."""
    return sample_id.split("_")[0]


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    sequence: str | None = None,
    known: str | None = None,
    smallest: str | int | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of CamVid.

    Args:
        path: the folder with `train/`, `trainannot/` and so on.
        split: "train", "val" or "test".
        vocabulary: other names for the 11 classes.
        sequence: read only this filming sequence, or several joined by `+`.
        known: names of things, joined by `+`, whose objects `train` has; other splits have all.
        smallest: pixels of the smallest object; 50 by default.
    """
    split = choose_split(splits(path), split, path=path)
    records = pair_by_stem(find_files(path / split), find_files(path / f"{split}annot"))
    if sequence is not None:
        there = sorted({sequence_of(record.id) for record in records})
        wanted = sequence.split("+")
        if missing := [name for name in wanted if name not in there]:
            raise DataError(
                f"the {split} split of {path} has no sequence {missing[0]!r}; "
                f"it has {', '.join(there)}"
            )
        chosen = [record for record in records if sequence_of(record.id) in wanted]
        records = Found.of(chosen, records.left_out)
    names = named_as(builtin("camvid_11"), vocabulary, layout="camvid")
    values = ValueMap.of_values(range(len(names)), ignored=(UNLABELLED, 255))
    if known is None:
        if smallest is not None:
            raise DataError("smallest is about objects; name known things too, as ?known=car")
        return IndexedDataset("camvid", split, names, records, SemanticLoader(values))
    names = grouped(names, THINGS, known.split("+"))
    groups = ("known",) if split == "train" else ("known", "unseen")
    ids = sorted(class_id for group in groups for class_id in names.ids_in(group))
    loader = WithObjects(SemanticLoader(values), tuple(ids), _pixels(smallest))
    return IndexedDataset("camvid", split, names, records, loader)


def _pixels(smallest: str | int | None) -> int:
    """Returns the value of `smallest`."""
    if smallest is None:
        return SMALLEST
    if not str(smallest).isdecimal() or int(smallest) < 1:
        raise DataError(f"smallest={smallest}; expected pixels, such as smallest=200")
    return int(smallest)
