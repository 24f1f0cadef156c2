"""What must be true of the files of LVIS-OW, read back from the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segtune.data.lvis_ow.building import TRAIN_OW, TRAIN_RESPLIT, VAL_RESPLIT, Sources
from segtune.data.lvis_ow.classes import COCO_TO_LVIS, KNOWN, RARE, SEEN
from segtune.data.lvis_ow.sources import AnnotationFile
from segtune.errors import DataError


def check(sources: Sources, out: Path) -> list[str]:
    """Returns one sentence for each thing that is true of the files in a folder.

    Raises:
        DataError: one is not true; the sources break a rule of LVIS or COCO, or a file was changed.
    """
    train, resplit, val = (
        AnnotationFile.open(out / name) for name in (TRAIN_OW, TRAIN_RESPLIT, VAL_RESPLIT)
    )
    lvis, moved = sources.lvis_train, sources.moved
    for file in (train, resplit, val):
        _check_ids(file)
    groups = len(KNOWN), len(SEEN), len(RARE)
    in_train = set(train.image_ids)
    rare = {each.image_id for each in lvis.references() if each.category_id in RARE}
    labels = {each.category_id for each in train.references()}
    kept = len(train.image_ids), len(moved)
    originals = {bytes(raw) for _, raw in lvis.images()}
    unchanged = all(bytes(raw) in originals for _, raw in train.images())
    objects = len(resplit.parts.annotations) + len(val.parts.annotations)
    before = len(lvis.parts.annotations) + len(sources.lvis_val.parts.annotations)
    facts = {
        "classes: {} known, {} seen, {} unseen, each in one group".format(*groups): (
            sum(groups) == len(KNOWN | SEEN | RARE) and set(COCO_TO_LVIS.values()) <= KNOWN
        ),
        f"no image of {TRAIN_OW} has an unseen class": not in_train & rare,
        f"its objects are of {len(labels)} classes, all known": labels <= KNOWN,
        "no image is in both training and validation": not in_train & set(val.image_ids),
        "{} + {} images that moved are those of LVIS train".format(*kept): (
            in_train | moved == set(lvis.image_ids) and in_train == set(resplit.image_ids)
        ),
        f"validation has {len(val.image_ids)} images: those of LVIS val and those that moved": (
            set(val.image_ids) == moved | set(sources.lvis_val.image_ids)
        ),
        f"no object of LVIS is lost: {objects} in {TRAIN_RESPLIT} and {VAL_RESPLIT}": (
            objects == before
        ),
        "entries of images are those of LVIS": unchanged,
        "every id is there once, every object has its image": True,
    }
    for sentence, is_true in facts.items():
        if not is_true:
            raise DataError(
                f"{out}: it is not true that {sentence}; check that the files are those of LVIS v1 "
                "and COCO 2017, and build into an empty folder"
            )
    return list(facts)


def _check_ids(file: AnnotationFile) -> None:
    """Raises where an id repeats, or an object is of an image that is not there."""
    images = set(file.image_ids)
    if (again := _first_repeat(file.image_ids)) is not None:
        raise DataError(f"{file.path} has two images with the id {again}; LVIS has no such files")
    if (again := _first_repeat(each.id for each in file.references())) is not None:
        raise DataError(
            f"{file.path} has two annotations with the id {again}; number those of LVIS train, "
            "LVIS val and COCO as they are published"
        )
    for each in file.references():
        if each.image_id not in images:
            raise DataError(
                f"{file.path}: annotation {each.id} is of image {each.image_id}, which "
                "is not in its list"
            )


def _first_repeat(ids: Iterable[int]) -> int | None:
    """Returns the first id that was there before; None where all differ."""
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            return number
        seen.add(number)
    return None
