"""What the folder layouts share: finding images, pairing them with labels, choosing a split."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.samples import Record
from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES
from segtune.types import Vocabulary
from segtune.vocabulary.parse import read_text

UNSPLIT = "all"
"""The split of data that is not divided."""

SPLIT_FOLDERS = {
    "train": ("train", "training", "train2017"),
    "val": ("val", "validation", "valid", "val2017"),
    "test": ("test", "testing", "test2017"),
}
"""Split -> the folder names that data sets give it."""


def find_files(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Returns the files directly in `folder` with one of the suffixes, hidden ones left out."""
    wanted = tuple(suffixes)
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in wanted and not path.name.startswith(".") and path.is_file()
    )


def has_files(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> bool:
    """Whether `folder` exists and has a file with one of the suffixes directly in it."""
    wanted = tuple(suffixes)
    return folder.is_dir() and any(
        path.suffix.lower() in wanted and not path.name.startswith(".") for path in folder.iterdir()
    )


def exists(path: Path) -> bool:
    """Whether a name from a file of somebody is a file; one that can be none is not.

    Example:
        >>> exists(Path("x" * 5000)), exists(Path("a\\0b"))
        (False, False)
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def pair_by_stem(
    images: Iterable[Path],
    labels: Iterable[Path],
    *,
    image_ending: str = "",
    label_ending: str = "",
) -> Found[Record]:
    """Returns one record per image that has a label file of the same stem.

    Images without a label are left out: data sets publish images whose labels are held back. So
    are labels without an image.

    Args:
        images: image files.
        labels: label files.
        image_ending: what to strip from image stems, such as "_leftImg8bit".
        label_ending: what to strip from label stems; labels that do not end so are not considered.

    Raises:
        DataError: no image has a label, or one has two.
    """
    by_stem: dict[str, Path] = {}
    for path in labels:
        if not path.stem.endswith(label_ending):
            continue
        other = by_stem.setdefault(path.stem.removesuffix(label_ending), path)
        if other != path:
            raise DataError(f"{other} and {path} are label maps of one image; remove one of them")
    records, left_out = [], []
    for image in images:
        stem = image.stem.removesuffix(image_ending)
        if stem in by_stem:
            records.append(Record(stem, image, by_stem[stem]))
        else:
            left_out.append(LeftOut(image.name, "an image without a label map"))
    if left_out and not records:
        first = left_out[0].name
        wanted = f"{Path(first).stem.removesuffix(image_ending)}{label_ending}"
        raise DataError(
            f"none of the {len(left_out)} images has a label map of the same name; "
            f"for {first} expected {wanted}.png"
        )
    used = {record.id for record in records}
    left_out += [
        LeftOut(path.name, "a label map without an image")
        for stem, path in by_stem.items()
        if stem not in used
    ]
    return Found.of(records, left_out)


def pair_listed(
    stems: Iterable[str], *, images: Path, labels: Path, list_file: Path, suffix: str = ".png"
) -> tuple[Record, ...]:
    """Returns one record per stem that a list file names; files are looked for when they are read.

    Args:
        stems: names of images and labels.
        images: folder of JPEG images.
        labels: folder of label files.
        list_file: for the error message.
        suffix: of the label files.

    Raises:
        DataError: the first image or label that the list names does not exist.
    """
    records = tuple(
        Record(stem, images / f"{stem}.jpg", labels / f"{stem}{suffix}") for stem in stems
    )
    for path in (records[0].image, records[0].label) if records else ():
        if path is not None and not path.is_file():
            raise DataError(f"{list_file} names {path.stem}, but {path} does not exist")
    return records


def read_stems(list_file: Path) -> list[str]:
    """Returns the stems that a split file lists, one per line; only the first column counts."""
    lines = (line.split() for line in read_text(list_file, what="list of images").splitlines())
    return [Path(columns[0]).stem for columns in lines if columns]


def find_splits(*parents: Path) -> tuple[str, ...]:
    """Returns the splits that have a folder in every one of `parents`."""
    return tuple(
        split
        for split in SPLIT_FOLDERS
        if all(split_folder(parent, split) is not None for parent in parents)
    )


def split_folder(parent: Path, split: str) -> Path | None:
    """Returns the folder of `split` in `parent` under any of its usual names."""
    for name in SPLIT_FOLDERS.get(split, (split,)):
        if (parent / name).is_dir():
            return parent / name
    return None


def choose_split(available: Sequence[str], split: str | None, *, path: Path) -> str:
    """Returns the split to read: the one asked for, else "train", else the only one.

    Raises:
        DataError: it does not exist, or several do and none is "train".
    """
    if not available:
        raise DataError(f"{path} has no images in the folders where this layout keeps them")
    known = {name: key for key, names in SPLIT_FOLDERS.items() for name in names}
    wanted = known.get(split, split) if split is not None else None
    if wanted is not None and wanted in available:
        return wanted
    if wanted is None and (len(available) == 1 or "train" in available):
        return "train" if "train" in available else available[0]
    if tuple(available) == (UNSPLIT,):
        raise DataError(f"{path} is not divided into splits; leave --split {split} out")
    given = "is needed" if split is None else f"{split!r} does not exist in {path}"
    raise DataError(f"a split {given}; choose --split {' or '.join(available)}")


def named_as(expected: Vocabulary, given: Vocabulary | None, *, layout: str) -> Vocabulary:
    """Returns the vocabulary of a layout, under the user's names where there are any."""
    if given is None:
        return expected
    if len(given) != len(expected):
        raise DataError(
            f"the vocabulary has {len(given)} classes but {layout} labels have {len(expected)}; "
            "give one name per class in the order of the labels, or leave --vocab out"
        )
    return given


def inside(folder: Path, name: str, *, where: str, root: Path | None = None) -> Path:
    """Returns the path of a file that data names, which must lie in the folder of the data.

    Args:
        folder: that the name is relative to.
        name: as the data has it.
        where: the file that names it, for messages.
        root: folder of the whole data set, where `folder` is a part of it.

    Raises:
        DataError: it is absolute, leaves both folders, by itself or as a link, or is no name.

    Example:
        >>> inside(Path("data"), "a/b.jpg", where="x.json").as_posix()
        'data/a/b.jpg'
        >>> inside(Path("data"), "../b.jpg", where="x.json")
        Traceback (most recent call last):
        segtune.errors.DataError: x.json names '../b.jpg', which is outside of data; ...
    """
    path = folder / name
    longest = max(len(part.encode("utf-8", "replace")) for part in Path(name or " ").parts or " ")
    if not name or "\0" in name or len(name) > 4000 or longest > 255:
        raise DataError(f"{where} names {name[:60]!r}, which is no name of a file")
    if not is_inside(folder, name, root=root):
        raise DataError(
            f"{where} names {name[:200]!r}, which is outside of {folder}; name the folder of the "
            "images with ?images=FOLDER"
        )
    return path


def is_inside(folder: Path, name: str, *, root: Path | None = None) -> bool:
    """Whether a name, relative to a folder, leads to a place in it, or in `root`."""
    if Path(name).is_absolute():
        return False
    goes_up = os.path.normpath(name).startswith("..")
    path = folder / name
    if not goes_up and _leads_into(path, _real(folder)):
        return True
    return root is not None and _leads_into(path, _real(root))


def found_in(folder: Path, name: str, *, trusted: bool) -> Path | None:
    """Returns the file of a name in a folder; None where it is not there, or not inside of it.

    Args:
        folder: where it is looked for.
        name: as data has it.
        trusted: the user named the folder, and answers for what is linked into it.
    """
    path = folder / name
    if not exists(path) or Path(name).is_absolute():
        return None
    return path if trusted or is_inside(folder, name) else None


def _leads_into(path: Path, root: Path) -> bool:
    """Whether a path is below a folder when all links are followed."""
    if path.is_symlink():
        return path.resolve().is_relative_to(root)
    return _real(path.parent).is_relative_to(root)


@lru_cache(maxsize=10_000)
def _real(folder: Path) -> Path:
    return folder.resolve()
