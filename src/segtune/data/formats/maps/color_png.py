"""Photographs and colour-coded label maps, with a table of colours. Read.

    train/*.png   train_labels/*_L.png   class_dict.csv           CamVid as it is passed on
    701_StillsRaw_full/*.png   LabeledApproved_full/*_L.png   label_colors.txt   CamVid itself
    images/*.jpg   labels/*.png   classes.csv                     divided too, as `index_png`

The table is looked for in the folder and above it (see `color_table`), or given:
`?colors=classes.csv`; that of CamVid itself is known. A pixel of a colour that is no class is
refused; black is unlabelled where it is no class, and so are classes called void or unlabelled.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.checks.left_out import Found
from segtune.data.folders import (
    SPLIT_FOLDERS,
    UNSPLIT,
    choose_split,
    find_files,
    has_files,
    named_as,
    pair_by_stem,
    split_folder,
)
from segtune.data.formats import index_png
from segtune.data.formats.maps.color_table import (
    ColorLoader,
    ColorTable,
    find_color_table,
    read_color_table,
)
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.masks.files import read_stored
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin

LABEL_ENDINGS = ("", "_L", "_label", "_labels", "_mask", "_gt", "_seg", "_color", "_colour")
BESIDE = ("_labels", "_label", "_masks", "_mask", "annot", "_annot", "_gt")
"""What is added to the name of a folder of photographs for that of its maps."""
CAMVID_FULL = ("701_StillsRaw_full", "LabeledApproved_full")


def detect(path: Path) -> float:
    """Returns 0.95 where there are both folders, a table of colours and maps in colours, else 0."""
    folders = _folders(path)
    if not folders or _table(path) is None:
        return 0.0
    _, labels = next(iter(folders.values()))
    return 0.95 * (read_stored(find_files(labels)[0]).colors() is not None)


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits; ("all",) where the data is not divided."""
    return tuple(_folders(path))


def _folders(path: Path) -> dict[str, tuple[Path, Path]]:
    """Returns split -> (photographs, label maps)."""
    if not path.is_dir():
        return {}
    images, labels = (path / name for name in CAMVID_FULL)
    if has_files(images) and has_files(labels):
        return {UNSPLIT: (images, labels)}
    found = {}
    for split in SPLIT_FOLDERS:
        folder = split_folder(path, split)
        if folder is None or not has_files(folder):
            continue
        beside = (path / f"{folder.name}{ending}" for ending in BESIDE)
        if truth := next((place for place in beside if has_files(place)), None):
            found[split] = (folder, truth)
    return found or index_png.folder_pairs(path)


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    colors: str | None = None,
) -> IndexedDataset[Record]:
    """Returns photographs with their colour-coded maps.

    Args:
        path: the folder.
        split: "train", "val" or "test"; None where the data is not divided.
        vocabulary: other names for the classes.
        colors: file of the table, where it is not beside the data.
    """
    folders = _folders(path)
    split = choose_split(tuple(folders), split, path=path)
    table = _table(path) if colors is None else read_color_table(Path(colors))
    if table is None:
        raise DataError(
            f"{path} has no table of what its colours mean; give --colors classes.csv with lines "
            "such as road,128,64,128"
        )
    images, labels = (find_files(folder) for folder in folders[split])
    records = paired(images, labels)
    names = named_as(table.vocabulary, vocabulary, layout=str(colors or path))
    return IndexedDataset(path.resolve().name, split, names, records, ColorLoader(table))


def _table(path: Path) -> ColorTable | None:
    """Returns the table in a folder or above it; CamVid itself has a known one."""
    if file := find_color_table(path):
        return read_color_table(file)
    if not all((path / name).is_dir() for name in CAMVID_FULL):
        return None
    classes = builtin("camvid_31")
    ids = {concept.color: i for i, concept in enumerate(classes) if concept.color is not None}
    return ColorTable(classes, ids)


def paired(images: list[Path], labels: list[Path]) -> Found[Record]:
    """Returns records by equal stems, but for an ending that all label maps have."""
    stems = {image.stem for image in images}
    maps = [label for label in labels if label.suffix.lower() in LABEL_SUFFIXES]
    counts = {
        ending: sum(m.stem.endswith(ending) and m.stem.removesuffix(ending) in stems for m in maps)
        for ending in LABEL_ENDINGS
    }
    best = max(counts, key=lambda ending: counts[ending])
    return pair_by_stem(images, maps, label_ending=best)
