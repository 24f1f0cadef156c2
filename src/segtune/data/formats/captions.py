"""Captions as JSON lines: one image with its sentences per line. Nothing is labelled.

    captions.jsonl                       {"image": "photos/a.jpg", "captions": ["A dog.", "..."]}
    captions_train.jsonl, captions_val.jsonl    divided

Paths are relative to the file, or to ?images=FOLDER. One sentence may be given as "caption".
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from segtune.data.captioned import NO_CLASSES, CaptionRecord, load_captioned
from segtune.data.folders import SPLIT_FOLDERS, UNSPLIT, choose_split, inside
from segtune.data.formats.coco.files import sample_ids
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.json_files import decode_json
from segtune.types import Vocabulary
from segtune.vocabulary.parse import read_text

FORM = '{"image": "photo.jpg", "captions": ["A dog.", ...]}'


def detect(path: Path) -> float:
    """Returns 1 for such a file, and 0.4 for a folder with one, so that labels come first."""
    if path.is_dir():
        return 0.4 if _files(path) else 0.0
    return float(bool(_files(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a file; ("all",) where the data is not divided."""
    return tuple(_files(path))


def _files(path: Path) -> dict[str, Path]:
    """Returns split -> file of captions."""
    if path.is_file():
        return {UNSPLIT: path} if path.suffix == ".jsonl" and _begins_well(path) else {}
    if (path / "captions.jsonl").is_file():
        return {UNSPLIT: path / "captions.jsonl"}
    files = {split: path / f"captions_{split}.jsonl" for split in SPLIT_FOLDERS}
    return {split: file for split, file in files.items() if file.is_file()}


def _begins_well(file: Path) -> bool:
    with file.open("rb") as stream:
        first = stream.readline()
    return b'"image"' in first and (b'"captions"' in first or b'"caption"' in first)


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
) -> IndexedDataset[CaptionRecord]:
    """Returns the images of a file with their captions.

    Args:
        path: the file, or the folder in which it lies.
        split: "train", "val" or "test"; None where the data is not divided.
        vocabulary: words to look for in the captions; they label nothing.
        images: folder that the paths in the file start from.

    Raises:
        DataError: a line is not of the form above, or its image does not exist.
    """
    files = _files(path)
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    folder = file.parent if images is None else Path(images)
    lines = read_text(file, what="file of captions").splitlines()
    entries = [_entry(line, number, file) for number, line in enumerate(lines, 1) if line.strip()]
    names = [name for name, _ in entries]
    if images is None:
        for name in names:
            inside(folder, name, where=str(file))
    if names and not (folder / names[0]).is_file():
        raise DataError(
            f"{file} names {names[0]}, which is not in {folder}; give the folder of the images as "
            f"'{path}?images=FOLDER'"
        )
    records = [
        CaptionRecord(sample_id, folder / name, None, captions)
        for sample_id, (name, captions) in zip(sample_ids(names), entries, strict=True)
    ]
    name = file.stem if path.is_file() else path.resolve().name
    return IndexedDataset(name, split, vocabulary or NO_CLASSES, records, load_captioned)


class _Line(msgspec.Struct):
    """One image with its sentences."""

    image: str
    captions: list[str] | None = None
    caption: str | None = None


def _entry(line: str, number: int, file: Path) -> tuple[str, tuple[str, ...]]:
    """Returns the path and the captions of one line."""
    try:
        entry = decode_json(
            line.encode("utf-8", "surrogatepass"), _Line, where=f"{file} line {number}"
        )
    except DataError as error:
        raise DataError(f"{error}; expected {FORM}") from None
    captions = entry.captions if entry.caption is None else [entry.caption]
    if captions is None:
        raise DataError(f"{file} line {number} has no 'captions'; expected {FORM}")
    return entry.image, tuple(captions)
