"""A data set in another format, image by image: photographs, labels, and what gets lost.

Where the data is divided, so is the result. Where each target puts what is in `export.targets`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segtune.errors import DataError
from segtune.export.lvis import ABSENT, NOT_EXHAUSTIVE
from segtune.export.sinks import ImageRef
from segtune.export.targets import TARGETS, Target, place, write_classes
from segtune.ops.segments import crop_segment, segments_from_semantic
from segtune.storage.files import atomic_write
from segtune.storage.images import IMAGE_SUFFIXES, write_image
from segtune.types import IGNORE, Dataset, Sample, Segmentation, Vocabulary
from segtune.viz.palette import coloured


@dataclass
class Converted:
    """What was written.

    Attributes:
        num_images, num_objects: written.
        lost: what the target cannot hold -> how often.
        places: of the labels.
        photographs: files that were written.
    """

    num_images: int = 0
    num_objects: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    places: list[Path] = field(default_factory=list)
    photographs: set[Path] = field(default_factory=set)


def convert(dataset: Dataset, folder: Path, *, to: str, done: Converted | None = None) -> Converted:
    """Writes a dataset in another format and returns what was written.

    Args:
        dataset: one split.
        folder: several splits may go into one.
        to: a key of `TARGETS`.
        done: of the splits before, which is added to.
    """
    done = Converted() if done is None else done
    target, words = TARGETS[to], coloured(dataset.vocabulary)
    split = target.split_name(dataset.split, to=to)
    names = image_refs(dataset)
    sink = target.make_sink(to)
    sink.open(folder / place(target.labels, split), words, images=names)
    try:
        for index in tqdm(range(len(dataset)), dataset.split, disable=None):
            sample = dataset[index]
            photograph = folder / target.photograph(names[sample.id].file_name, split)
            if photograph in done.photographs:
                raise DataError(
                    f"two photographs would be {photograph}; convert splits one by one with --split"
                )
            done.photographs.add(photograph)
            _copy_image(sample, photograph)
            result, lost = as_result(sample, words, target)
            sink.add(sample.id, None, result)
            done.lost.update(lost)
            done.num_images += 1
            done.num_objects += len(result.segments)
        done.places += sink.close()
    except BaseException:
        sink.abort()
        raise
    write_classes(folder, words, to=to, split=split)
    return done


def as_result(
    sample: Sample, vocabulary: Vocabulary, target: Target
) -> tuple[Segmentation, Counter[str]]:
    """Returns the labels of a sample as a result, and what is lost of them on the way."""
    lost: Counter[str] = Counter()
    lost["captions"] = len(sample.captions)
    lost["clicks"] = 0 if sample.points is None else len(sample.points)
    lost["crowd regions"] = sum(item.is_crowd for item in sample.instances)
    named = [
        item
        for item in sample.instances
        if not item.is_crowd and (item.class_id != IGNORE or not target.holds_classes)
    ]
    if sample.absent_ids is not None and not target.holds_lists:
        lost["lists of absent and not exhaustive classes"] = 1
    if target.holds_classes:
        lost["objects without a class"] = sum(i.class_id == IGNORE for i in sample.instances)
    size = _size(sample)
    covered = np.zeros(size, bool)
    painted = np.full(size, IGNORE, np.int32)
    shared = 0
    for item in named:
        shared += int((covered & item.mask).sum())
        covered |= item.mask
        painted[item.mask] = item.class_id
    if sample.semantic is not None:
        if named and target.holds_objects:
            lost["pixels of objects with another class or none"] = int(
                (covered & (painted != sample.semantic)).sum()
            )
        rest = np.where(covered, IGNORE, sample.semantic)
        painted = sample.semantic
    else:
        rest = np.full(size, IGNORE, np.int32)
    if not target.holds_unlabelled:
        lost["pixels without a class, which become background"] = int((painted == IGNORE).sum())
    if not target.overlaps:
        lost["pixels that several objects share"] = shared
    if not target.holds_objects:
        lost["objects, of which only the classes stay"] = len(named)
        return Segmentation(size, vocabulary, painted), +lost
    segments = list(segments_from_semantic(rest, vocabulary))
    segments += [crop_segment(i.mask, i.class_id, 1.0) for i in named if i.mask.any()]
    if not target.holds_classes:
        lost["names of objects"] = sum(s.class_id != IGNORE for s in segments)
    lists = {ABSENT: sample.absent_ids, NOT_EXHAUSTIVE: sample.not_exhaustive_ids}
    source = lists if sample.absent_ids is not None else {}
    return Segmentation(size, vocabulary, painted, tuple(segments), source), +lost


def _size(sample: Sample) -> tuple[int, int]:
    if sample.semantic is not None:
        height, width = sample.semantic.shape
    elif sample.instances:
        height, width = sample.instances[0].mask.shape
    else:
        height, width = sample.pixels().shape[:2]
    return height, width


def image_refs(dataset: Dataset) -> dict[str, ImageRef]:
    """Returns sample id -> its number, which is that of the data where it has one, and file."""
    refs = {}
    records = getattr(dataset, "records", None)
    for index in range(len(dataset)):
        record = None if records is None else records[index]
        suffix = ".png" if record is None else record.image.suffix.lower()
        number = getattr(record, "image_id", index + 1)
        name = dataset.sample_id(index)
        refs[name] = ImageRef(number, f"{name}{suffix if suffix in IMAGE_SUFFIXES else '.png'}")
    return refs


def _copy_image(sample: Sample, path: Path) -> None:
    if isinstance(sample.image, Path) and sample.image.suffix.lower() == path.suffix:
        with atomic_write(path) as temporary:
            shutil.copyfile(sample.image, temporary)
    else:
        write_image(path, sample.pixels())
