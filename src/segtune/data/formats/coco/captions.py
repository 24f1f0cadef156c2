"""COCO captions: annotations/captions_{train,val}2017.json, or such a JSON file. No labels.

Every image has about five captions; they are kept in the order of their annotation ids. Masks of
the same images are in the other COCO formats: open one of those and give it the captions with
`segtune.data.captioned.Captioned`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from segtune.data.captioned import NO_CLASSES, CaptionRecord, load_captioned
from segtune.data.folders import choose_split
from segtune.data.formats.coco.files import (
    find_id,
    find_json_files,
    ids_of,
    image_name,
    image_paths,
    sample_ids,
)
from segtune.data.formats.coco.schemas import Caption, Captions, plain_id
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.json_files import read_json
from segtune.types import Vocabulary


def detect(path: Path) -> float:
    """Returns 1 for such a file, and 0.4 for a folder with one, so that labels come first."""
    if not find_json_files(path, "captions"):
        return 0.0
    return 0.4 if path.is_dir() else 1.0


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a JSON file."""
    return tuple(find_json_files(path, "captions"))


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
) -> IndexedDataset[CaptionRecord]:
    """Returns the images of a JSON file with their captions.

    Args:
        path: the JSON file, or the folder of COCO.
        split: "train", "val", ...
        vocabulary: words to look for in the captions; they label nothing.
        images: folder of the images, where it is not found by itself.
    """
    files = find_json_files(path, "captions")
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    content = read_json(file, Captions)
    said = captions_of(content, file=file)
    entries = ids_of(content.images, kind="images", file=file)
    names = [image_name(image, file=file) for image in entries.values()]
    places = image_paths(file, names, split=split, images=images)
    records = [
        CaptionRecord(sample_id, place, None, said.get(number, ()))
        for sample_id, place, number in zip(sample_ids(names), places, entries, strict=True)
    ]
    return IndexedDataset(file.stem, split, vocabulary or NO_CLASSES, records, load_captioned)


def captions_of(content: Captions, *, file: Path) -> dict[int | str, tuple[str, ...]]:
    """Returns image id -> captions of a COCO document, in the order of their annotation ids.

    Raises:
        DataError: a caption is of an image that the document does not list.
    """
    listed = ids_of(content.images, kind="images", file=file)
    by_image: dict[int | str, list[str]] = defaultdict(list)
    for annotation in sorted(content.annotations, key=_order):
        image = find_id(annotation.image_id, listed)
        if image is None:
            raise DataError(
                f"{file}: image {annotation.image_id} has captions but is not in its image list"
            )
        by_image[image].append(" ".join(annotation.caption.split()))
    return {image_id: tuple(captions) for image_id, captions in by_image.items()}


def _order(caption: Caption) -> tuple[bool, int | str]:
    number = plain_id(caption.id or 0)
    return isinstance(number, str), number
