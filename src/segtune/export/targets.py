"""Where `segtune convert` puts photographs and labels of each format.

png             images/[SPLIT/]*    labels/[SPLIT/]*.png     vocabulary.json
colors          images/[SPLIT/]*    labels/[SPLIT/]*.png     class_dict.csv
yolo            images/[SPLIT/]*    labels/[SPLIT/]*.txt     data.yaml
coco[-polygons] images/[SPLIT/]*    annotations/instances_SPLIT.json
lvis            images/[SPLIT/]*    annotations/lvis_SPLIT.json, with absent classes per image
panoptic        images/[SPLIT/]*    annotations/panoptic_SPLIT.json and id maps
labelme, sa1b   [SPLIT/]*           [SPLIT/]*.json           beside the photographs
cvat            [SPLIT/]images/*    [SPLIT/]annotations.xml
labelstudio     [SPLIT/]images/*    [SPLIT/]labelstudio.json
supervisely     SPLIT/img/*         SPLIT/ann/*.json         meta.json
voc, cvat-masks JPEGImages/*        SegmentationClass/ and SegmentationObject/
cityscapes      leftImg8bit/SPLIT/  gtFine/SPLIT/
kitti           training/image_2/   training/semantic/       training/instance/
mapillary       SPLIT/images/       SPLIT/v1.2/labels/ and instances/, config_v1.2.json
ade20k          images/SPLIT/*      images/SPLIT/*_seg.png, *_atr.txt
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segtune.data.folders import UNSPLIT
from segtune.data.formats.yolo.writing import write_data_file
from segtune.errors import DataError, listed
from segtune.export.sinks import SINKS, Sink
from segtune.export.trees.mapillary import write_configuration
from segtune.storage.registry import resolve
from segtune.types import Vocabulary
from segtune.vocabulary.parse import write_vocabulary


@dataclass(frozen=True)
class Target:
    """Where a format is written.

    Attributes:
        labels: place of its sink below the folder; {split/} is empty for undivided data.
        images: folder of the photographs.
        ending: of their names, where the format has one of its own; others are written anew.
        splits: split -> what the format calls it; None where it has room for any.
        sink: class of the sink, of formats that answers are not written in.
        holds_objects: it tells one object from another.
        holds_classes: it says what they are.
        overlaps: a pixel can be of several.
        holds_unlabelled: a pixel can be of none; else that is background.
        holds_lists: it says which classes were looked for in an image.
    """

    labels: str
    images: str = "images/{split/}"
    ending: str | None = None
    splits: Mapping[str, str] | None = None
    sink: str | None = None
    holds_objects: bool = True
    holds_classes: bool = True
    overlaps: bool = True
    holds_unlabelled: bool = True
    holds_lists: bool = False

    def make_sink(self, to: str) -> Sink:
        """Returns a sink of the format `to` that is still to be opened."""
        if self.sink is None:
            return SINKS[to].make()
        sink: Sink = resolve(self.sink)()
        return sink

    def split_name(self, split: str, *, to: str) -> str:
        """Returns what the format `to` calls a split.

        Raises:
            DataError: it has no place for it.
        """
        if self.splits is None:
            return split
        if split not in self.splits:
            known = [name for name in self.splits if name != UNSPLIT]
            raise DataError(f"{to} has no split {split!r}; give --split {listed(known)}")
        return self.splits[split]

    def photograph(self, file_name: str, split: str) -> str:
        """Returns where a photograph of the data goes."""
        if self.ending is not None:
            file_name = f"{file_name.rpartition('.')[0]}{self.ending}"
        return f"{place(self.images, split)}{file_name}"


def place(pattern: str, split: str) -> str:
    """Returns the place of a split."""
    below = "" if split == UNSPLIT else f"{split}/"
    return pattern.replace("{split/}", below).replace("{split}", split)


_LONG_NAMES = {UNSPLIT: "training", "train": "training", "val": "validation"}

TARGETS = {
    "ade20k": Target(
        "images/{split}",
        "images/{split}/",
        splits=_LONG_NAMES,
        sink="segtune.export.trees.ade20k:Ade20kSink",
        overlaps=False,
    ),
    "cityscapes": Target(
        "gtFine/{split}/all",
        "leftImg8bit/{split}/all/",
        ending="_leftImg8bit.png",
        splits={UNSPLIT: "train", "train": "train", "val": "val", "test": "test"},
        sink="segtune.export.trees.cityscapes:CityscapesSink",
        overlaps=False,
    ),
    "coco": Target("annotations/instances_{split}.json"),
    "coco-polygons": Target("annotations/instances_{split}.json"),
    "colors": Target("labels/{split/}", holds_objects=False, overlaps=False),
    "cvat": Target("{split/}annotations.xml", "{split/}images/"),
    "cvat-masks": Target(
        "ImageSets/Segmentation/{split}.txt",
        "JPEGImages/",
        overlaps=False,
        holds_unlabelled=False,
    ),
    "kitti": Target(
        "training/semantic",
        "training/image_2/",
        ending=".png",
        splits={UNSPLIT: "train", "train": "train"},
        sink="segtune.export.trees.cityscapes:KittiSink",
        overlaps=False,
    ),
    "labelme": Target("{split/}", "{split/}"),
    "labelstudio": Target("{split/}labelstudio.json", "{split/}images/"),
    "lvis": Target("annotations/lvis_{split}.json", holds_lists=True),
    "mapillary": Target(
        "{split}/v1.2/labels",
        "{split}/images/",
        splits=_LONG_NAMES,
        sink="segtune.export.trees.mapillary:MapillarySink",
        overlaps=False,
    ),
    "panoptic": Target("annotations/panoptic_{split}.json", overlaps=False),
    "png": Target("labels/{split/}", holds_objects=False, overlaps=False),
    "sa1b": Target("{split/}", "{split/}", holds_classes=False),
    "supervisely": Target("{split}/ann", "{split}/img/"),
    "voc": Target("ImageSets/Segmentation/{split}.txt", "JPEGImages/", overlaps=False),
    "yolo": Target("labels/{split/}"),
}
"""Format -> where it is written."""


def write_classes(folder: Path, words: Vocabulary, *, to: str, split: str) -> None:
    """Writes the classes of formats that keep them in the folder above the labels."""
    if to == "png":
        write_vocabulary(folder / "vocabulary.json", words)
    if to == "mapillary":
        write_configuration(folder / "config_v1.2.json", words)
    if to == "yolo":
        train = "images" if split == UNSPLIT else "images/train"
        val = "images/val" if (folder / "images" / "val").is_dir() else train
        write_data_file(folder / "data.yaml", words, train=train, val=val)
