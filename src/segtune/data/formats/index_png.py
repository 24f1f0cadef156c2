"""Plain folders: images in one, index maps of the same stem in the other. Read and written.

    images/a.jpg   labels/a.png   classes.txt        not divided
    images/train/a.jpg   labels/train/a.png          divided below the two folders
    train/images/a.jpg   train/labels/a.png          divided above them

The two folders may have other usual names (`IMAGE_FOLDERS`, `LABEL_FOLDERS`). A label pixel is the
class id; 255 in 8-bit and 65535 in 16-bit maps is unlabelled. `?label_values=0=background,255=car`
and `?ignore_value=none` say otherwise, see `data/label_values.py`; maps of nothing but 0 and 255
are refused until one of them is given. Class names come from `classes.txt` (one per line) or
`vocabulary.json|yaml` beside the folders, or from the user.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segtune.data.folders import (
    SPLIT_FOLDERS,
    UNSPLIT,
    choose_split,
    find_files,
    has_files,
    pair_by_stem,
    split_folder,
)
from segtune.data.images import LABEL_SUFFIXES, write_label_map
from segtune.data.label_values import EXAMPLE, ask_about_binary_maps, value_map
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import Segmentation, Vocabulary
from segtune.vocabulary.parse import parse_vocabulary, write_vocabulary

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "JPEGImages", "rgb")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "annots", "gt")
JPEG_SUFFIXES = (".jpg", ".jpeg")
NAME_FILES = tuple(
    f"{stem}{suffix}"
    for stem in ("vocabulary", "classes")
    for suffix in (".json", ".yaml", ".yml", ".txt")
)


def detect(path: Path) -> float:
    """Returns 0.7 for two such folders with class names beside them, and 0.5 without.

    Where labels are JPEG files, 0.3: `read` says what to do.

    A layout with more particular folder names comes first.
    """
    if not splits(path):
        return 0.3 if _jpeg_labels(path) is not None else 0.0
    return 0.7 if any((path / name).is_file() for name in NAME_FILES) else 0.5


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits; ("all",) where the data is not divided."""
    return tuple(folder_pairs(path))


def _jpeg_labels(path: Path) -> Path | None:
    """Returns a folder of label maps that are JPEG files, where there are no others."""
    if folder_pairs(path):
        return None
    return next((labels for _, labels in folder_pairs(path, JPEG_SUFFIXES).values()), None)


def folder_pairs(
    path: Path, suffixes: tuple[str, ...] = LABEL_SUFFIXES
) -> dict[str, tuple[Path, Path]]:
    """Returns split -> (folder of images, folder of label maps)."""
    if (pair := _pair(path)) is not None:
        images, labels = pair
        if has_files(images) and has_files(labels, suffixes):
            return {UNSPLIT: pair}
        below = {s: (split_folder(images, s), split_folder(labels, s)) for s in SPLIT_FOLDERS}
        return {
            split: (x, y)
            for split, (x, y) in below.items()
            if x and y and has_files(x) and has_files(y, suffixes)
        }
    above = {}
    for split in SPLIT_FOLDERS:
        folder = split_folder(path, split)
        pair = _pair(folder) if folder else None
        if pair and has_files(pair[0]) and has_files(pair[1], suffixes):
            above[split] = pair
    return above


def _pair(path: Path) -> tuple[Path, Path] | None:
    images = next((path / name for name in IMAGE_FOLDERS if (path / name).is_dir()), None)
    labels = next((path / name for name in LABEL_FOLDERS if (path / name).is_dir()), None)
    return (images, labels) if images and labels else None


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    label_values: str | None = None,
    ignore_value: str | None = None,
) -> IndexedDataset[Record]:
    """Returns the image and label pairs of a folder.

    Args:
        path: the folder that holds the two folders, or the splits.
        split: "train", "val" or "test"; None where the data is not divided.
        vocabulary: class names in the order of the label values; read from the folder if None.
        label_values: which class a value is, as "0=background,255=object"; None where values are
            class ids.
        ignore_value: values that are unlabelled, "none" for no value; 255 and 65535 if None.

    Raises:
        DataError: class names are nowhere to be found, no image has a label, or what the values
            mean is to be asked.
    """
    jpeg = _jpeg_labels(path)
    if jpeg is not None and label_values is None:
        raise DataError(
            f"the label maps in {jpeg} are JPEG files, whose compression changes class numbers; "
            f"save them as .png, or name values that are far apart with {EXAMPLE}"
        )
    suffixes = LABEL_SUFFIXES if jpeg is None else JPEG_SUFFIXES
    folders = folder_pairs(path, suffixes)
    split = choose_split(tuple(folders), split, path=path)
    images, labels = folders[split]
    names = vocabulary or _names_beside(path)
    if names is None and label_values is None:
        raise DataError(
            f"{path} does not say what its label values mean; pass --vocab 'road, car, ...' in the "
            f"order of the values, or write classes.txt with one name per line into it"
        )
    names, values = value_map(names, label_values=label_values, ignore_value=ignore_value)
    records = pair_by_stem(find_files(images), find_files(labels, suffixes))
    if label_values is None and ignore_value is None:
        ask_about_binary_maps(records, names, values, path=path)
    return IndexedDataset(path.resolve().name, split, names, records, SemanticLoader(values))


def _names_beside(path: Path) -> Vocabulary | None:
    for name in NAME_FILES:
        if (path / name).is_file():
            return parse_vocabulary(path / name, in_label_order=True)
    return None


def write(
    folder: Path | str,
    results: Iterable[tuple[str, Segmentation]],
    *,
    vocabulary: Vocabulary,
) -> list[Path]:
    """Writes `labels/<id>.png` for every result and the class names once; returns the files.

    Together with the images in `images/`, the folder can be read again by `read`.

    Args:
        folder: created where missing.
        results: (sample id, result) pairs; each result has a semantic map over `vocabulary`.
        vocabulary: fixes bit depth and palette of all files.
    """
    folder = Path(folder)
    colors = [concept.color for concept in vocabulary]
    palette = [c for c in colors if c is not None] if None not in colors else None
    files = []
    for sample_id, result in results:
        if result.semantic is None:
            raise DataError(
                f"the result of {sample_id!r} has no semantic map, so there is no index map to "
                "write; choose --task semantic or another --format"
            )
        file = folder / "labels" / f"{sample_id}.png"
        write_label_map(file, result.semantic, num_classes=len(vocabulary), colors=palette)
        files.append(file)
    names = folder / "vocabulary.json"
    write_vocabulary(names, vocabulary)
    return [*files, names]
