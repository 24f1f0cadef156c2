"""Writes LVIS-OW from the files of LVIS v1 and COCO 2017.

1. Objects of the 79 classes that COCO shares with LVIS are added to the images of LVIS train, under
   their LVIS classes; their ids follow those of LVIS. `merge` says what happens to LVIS's own
   objects of these classes: "keep" leaves both, so that objects that both annotate appear twice;
   "drop" leaves COCO's alone. Which one the published file has is unknown.
2. Only objects of known classes stay.
3. Images of LVIS train with an object of a rare class move to validation, with all their objects.
4. The training file is step 2 without these images. Entries of images are left as they are.

Every file is written whole or not at all; a second run keeps those that are finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
from tqdm import tqdm

from segtune.data.lvis_ow.classes import COCO_NAMES, COCO_TO_LVIS, KNOWN, NAMES, RARE
from segtune.data.lvis_ow.sources import Annotation, AnnotationFile, check_names
from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.storage.json_lists import JsonLists
from segtune.storage.locks import locked

Merge = Literal["keep", "drop"]
TRAIN_OW = "lvis_v1_train_ow.json"
TRAIN_RESPLIT = "lvis_v1_train_resplit_r.json"
VAL_RESPLIT = "lvis_v1_val_resplit_r.json"
RECORD = "lvis_ow.json"
MOVED_IDS = 2_000_000
"""Added to the ids of annotations that move to validation."""
VERSION = 1
"""Of the rules; files of another version are written again."""


@dataclass(frozen=True)
class Sources:
    """The files that LVIS-OW is made of."""

    lvis_train: AnnotationFile
    lvis_val: AnnotationFile
    coco: AnnotationFile

    @classmethod
    def open(cls, lvis_train: Path, lvis_val: Path, coco: Path) -> Sources:
        """Returns the files.

        Raises:
            DataError: one is not of LVIS v1, or of COCO's instances.
        """
        files = [AnnotationFile.open(path) for path in (lvis_train, lvis_val, coco)]
        for file in files[:2]:
            check_names(file, NAMES, what="LVIS v1", few=False)
            for category in file.categories:
                if (category.frequency == "r") != (category.id in RARE):
                    raise DataError(
                        f"{file.path}: category {category.id} has the frequency "
                        f"{category.frequency!r}, another than in LVIS v1; give the file of LVIS v1"
                    )
        check_names(files[2], COCO_NAMES, what="COCO 2017", few=True)
        if not COCO_TO_LVIS.keys() & {category.id for category in files[2].categories}:
            raise DataError(f"{files[2].path} has no class of COCO 2017; give its instances")
        return cls(*files)

    @cached_property
    def moved(self) -> frozenset[int]:
        """Ids of the images of LVIS train that have a rare class."""
        return frozenset(
            each.image_id for each in self.lvis_train.references() if each.category_id in RARE
        )

    @cached_property
    def largest_id(self) -> int:
        """The largest id of an annotation of LVIS train."""
        return max((each.id for each in self.lvis_train.references()), default=0)

    def fingerprint(self, merge: Merge) -> str:
        """Returns a text that is another one for other files or rules."""
        digest = hashlib.sha256(f"{VERSION} {merge}".encode())
        for file in (self.lvis_train, self.lvis_val, self.coco):
            with file.path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


class Finished(msgspec.Struct):
    """What a finished file is known by."""

    images: int
    annotations: int
    bytes: int
    sha256: str


class Record(msgspec.Struct):
    """What `RECORD` holds: the rules, and the files that were finished under them."""

    fingerprint: str
    merge: str
    files: dict[str, Finished]


def build(
    sources: Sources, out: Path, *, merge: Merge = "keep", say: Callable[[str], None] = print
) -> Record:
    """Writes the files of LVIS-OW into a folder and returns what was written.

    Args:
        merge: see above.
        say: told of each file that is finished.

    Raises:
        DataError: a file cannot be written.
        SegtuneError: another run writes into the folder.
    """
    fingerprint = sources.fingerprint(merge)
    with locked(out / RECORD):
        record = _record(out / RECORD, fingerprint) or Record(fingerprint, merge, {})
        for name, write in _WRITERS.items():
            done = record.files.get(name)
            state = "is finished"
            if done is None or not _is_there(out / name, done):
                lists = JsonLists(out / name, ("images", "annotations"))
                try:
                    write(lists, sources, merge)
                    lists.close(**sources.lvis_train.rest())
                except BaseException:
                    lists.abort()
                    raise
                done, state = _finished(out / name, lists.counts), "written"
                record.files[name] = done
                with atomic_write(out / RECORD) as temporary:
                    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
            say(f"{out / name} {state}: {done.images} images, {done.annotations} annotations")
    return record


def _train_ow(lists: JsonLists, sources: Sources, merge: Merge) -> None:
    """Writes the images that stay, with objects of known classes, those of COCO among them."""
    stay = frozenset(sources.lvis_train.image_ids) - sources.moved
    _add_images(lists, sources.lvis_train, stay)
    of_coco = frozenset(COCO_TO_LVIS.values()) if merge == "drop" else frozenset()
    for item in _shown(sources.lvis_train):
        if item.image_id in stay and item.category_id in KNOWN - of_coco:
            _add(lists, item)
    for item in _shown(sources.coco):
        if item.image_id in stay and item.category_id in COCO_TO_LVIS:
            item.id += sources.largest_id
            item.category_id = COCO_TO_LVIS[item.category_id]
            _add(lists, item)


def _train_resplit(lists: JsonLists, sources: Sources, merge: Merge) -> None:
    """Writes the images that stay, with all objects of LVIS."""
    stay = frozenset(sources.lvis_train.image_ids) - sources.moved
    _add_images(lists, sources.lvis_train, stay)
    for item in _shown(sources.lvis_train):
        if item.image_id in stay:
            _add(lists, item)


def _val_resplit(lists: JsonLists, sources: Sources, merge: Merge) -> None:
    """Writes LVIS val and the images that move, with all objects of LVIS."""
    _add_images(lists, sources.lvis_val, frozenset(sources.lvis_val.image_ids))
    _add_images(lists, sources.lvis_train, sources.moved)
    for item in _shown(sources.lvis_val):
        _add(lists, item)
    for item in _shown(sources.lvis_train):
        if item.image_id in sources.moved:
            item.id += MOVED_IDS
            _add(lists, item)


_WRITERS: dict[str, Callable[[JsonLists, Sources, Merge], None]] = {
    TRAIN_OW: _train_ow,
    TRAIN_RESPLIT: _train_resplit,
    VAL_RESPLIT: _val_resplit,
}


def _add_images(lists: JsonLists, file: AnnotationFile, chosen: frozenset[int]) -> None:
    for image_id, raw in file.images():
        if image_id in chosen:
            lists.append_json("images", bytes(raw))


def _add(lists: JsonLists, item: Annotation) -> None:
    lists.append_json("annotations", msgspec.json.encode(item))


def _shown(file: AnnotationFile) -> Iterator[Annotation]:
    """Yields the objects of a file, with a bar where the output is a terminal."""
    total = len(file.parts.annotations)
    return iter(tqdm(file.annotations(), file.path.name, total, disable=None))


def _record(path: Path, fingerprint: str) -> Record | None:
    """Returns what an earlier run has finished under the same rules; None where there is none."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return record if record.fingerprint == fingerprint else None


def _finished(path: Path, counts: dict[str, int]) -> Finished:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Finished(counts["images"], counts["annotations"], path.stat().st_size, digest)


def _is_there(path: Path, done: Finished) -> bool:
    """Returns whether a file is the one that was finished."""
    if not path.is_file() or path.stat().st_size != done.bytes:
        return False
    counts = {"images": done.images, "annotations": done.annotations}
    return _finished(path, counts) == done
