"""A data set in another format, image by image: photographs, labels, and what gets lost.

Where the data is divided, so is the result. Every target opens again without options:

    png             images/[SPLIT/]*   labels/[SPLIT/]*.png   vocabulary.json
    yolo            images/[SPLIT/]*   labels/[SPLIT/]*.txt   data.yaml
    coco[-polygons] images/[SPLIT/]*   annotations/instances_SPLIT.json
    panoptic        images/[SPLIT/]*   annotations/panoptic_SPLIT.json and id maps
    labelme         [SPLIT/]*          [SPLIT/]*.json         beside the photographs
    cvat            [SPLIT/]images/*   [SPLIT/]annotations.xml
    labelstudio     [SPLIT/]images/*   [SPLIT/]labelstudio.json
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segtune.data.folders import UNSPLIT
from segtune.data.formats.yolo.writing import write_data_file
from segtune.export.sinks import SINKS, ImageRef
from segtune.ops.segments import crop_segment, segments_from_semantic
from segtune.storage.files import atomic_write
from segtune.storage.images import IMAGE_SUFFIXES, write_image
from segtune.types import IGNORE, Dataset, Sample, Segmentation, Vocabulary
from segtune.viz.palette import coloured
from segtune.vocabulary.parse import write_vocabulary


@dataclass(frozen=True)
class Target:
    """Where a format is written.

    Attributes:
        labels: place of its sink below the folder; {split/} is empty for undivided data.
        images: folder of the photographs.
        holds_objects: it tells one object from another.
    """

    labels: str
    images: str = "images/{split/}"
    holds_objects: bool = True


TARGETS = {
    "png": Target("labels/{split/}", holds_objects=False),
    "coco": Target("annotations/instances_{split}.json"),
    "coco-polygons": Target("annotations/instances_{split}.json"),
    "panoptic": Target("annotations/panoptic_{split}.json"),
    "labelme": Target("{split/}", "{split/}"),
    "cvat": Target("{split/}annotations.xml", "{split/}images/"),
    "labelstudio": Target("{split/}labelstudio.json", "{split/}images/"),
    "yolo": Target("labels/{split/}"),
}


@dataclass
class Converted:
    """What was written.

    Attributes:
        num_images, num_objects: written.
        lost: what the target cannot hold -> how often.
        places: of the labels.
    """

    num_images: int = 0
    num_objects: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    places: list[Path] = field(default_factory=list)


def convert(dataset: Dataset, folder: Path, *, to: str, done: Converted | None = None) -> Converted:
    """Writes a dataset in another format and returns what was written.

    Args:
        dataset: one split.
        folder: several splits may go into one.
        to: a key of `TARGETS`.
        done: of the splits before, which is added to.
    """
    done = Converted() if done is None else done
    target, entry = TARGETS[to], SINKS[to]
    words = coloured(dataset.vocabulary)
    labels, images = (_place(part, dataset.split) for part in (target.labels, target.images))
    sink = entry.make()
    names = image_refs(dataset)
    sink.open(folder / labels, words, images=names)
    try:
        for index in tqdm(range(len(dataset)), dataset.split, disable=None):
            sample = dataset[index]
            _copy_image(sample, folder / images / names[sample.id].file_name)
            result, lost = as_result(sample, words, target)
            sink.add(sample.id, None, result)
            done.lost.update(lost)
            done.num_images += 1
            done.num_objects += len(result.segments)
        done.places += sink.close()
    except BaseException:
        sink.abort()
        raise
    _write_classes(folder, words, to=to, images=images)
    return done


def as_result(
    sample: Sample, vocabulary: Vocabulary, target: Target
) -> tuple[Segmentation, Counter[str]]:
    """Returns the labels of a sample as a result, and what is lost of them on the way."""
    lost: Counter[str] = Counter()
    lost["captions"] = len(sample.captions)
    lost["clicks"] = 0 if sample.points is None else len(sample.points)
    lost["crowd regions"] = sum(item.is_crowd for item in sample.instances)
    lost["objects without a class"] = sum(item.class_id == IGNORE for item in sample.instances)
    named = [i for i in sample.instances if i.class_id != IGNORE and not i.is_crowd]
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
    if not target.holds_objects:
        lost["objects, of which only the classes stay"] = len(named)
        lost["pixels that several objects share"] = shared
        return Segmentation(size, vocabulary, painted), +lost
    segments = list(segments_from_semantic(rest, vocabulary))
    segments += [crop_segment(i.mask, i.class_id, 1.0) for i in named if i.mask.any()]
    return Segmentation(size, vocabulary, painted, tuple(segments)), +lost


def _size(sample: Sample) -> tuple[int, int]:
    if sample.semantic is not None:
        height, width = sample.semantic.shape
    elif sample.instances:
        height, width = sample.instances[0].mask.shape
    else:
        height, width = sample.pixels().shape[:2]
    return height, width


def _place(pattern: str, split: str) -> str:
    below = "" if split == UNSPLIT else f"{split}/"
    return pattern.replace("{split/}", below).replace("{split}", split)


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
    if isinstance(sample.image, Path):
        with atomic_write(path) as temporary:
            shutil.copyfile(sample.image, temporary)
    else:
        write_image(path, sample.image)


def _write_classes(folder: Path, words: Vocabulary, *, to: str, images: str) -> None:
    """Writes the classes where the format keeps them beside the labels."""
    if to == "png":
        write_vocabulary(folder / "vocabulary.json", words)
    if to == "yolo":
        train = "images/train" if images != "images/" else "images"
        val = "images/val" if (folder / "images" / "val").is_dir() else train
        write_data_file(folder / "data.yaml", words, train=train, val=val)
