"""The annotation formats, one file each, and `open_dataset`, which finds the right one.

`read_vocabulary` reads words from whatever a user types; the classes of data count as words.

A format module has `detect(path)` (0 no, 0.5 plausible, 1 sure), `splits(path)`, `read(path, ...)`
and, where it is also an output, functions whose names start with `write`. Listing the formats
imports none of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qsl

from segtune.data.formats import synthetic
from segtune.data.formats.unreadable import recognised
from segtune.data.readable import readable
from segtune.errors import DataError, unknown_name
from segtune.types import Dataset, Vocabulary
from segtune.vocabulary.parse import VocabularySpec, parse_vocabulary


@dataclass(frozen=True)
class Layout:
    """A format that can be read: its name for `--layout`, and what the folder looks like."""

    name: str
    looks_like: str
    home: str | None = None

    def module(self) -> ModuleType:
        """Returns the module with `detect`, `splits` and `read`: that of its name, or `home`."""
        return import_module(f"segtune.data.formats.{self.home or self.name}")


_LAYOUTS = (
    Layout("index_png", "images/*.jpg with labels/*.png of class ids, and classes.txt"),
    Layout("camvid", "train/*.png with trainannot/*.png"),
    Layout("cityscapes", "leftImg8bit/<split>/<city>/ with gtFine/<split>/<city>/"),
    Layout("acdc", "rgb_anon/<condition>/<split>/ with gt/<condition>/<split>/"),
    Layout("bdd100k", "images/10k/<split>/ with labels/sem_seg/masks/<split>/"),
    Layout("mapillary", "training/images/ with training/labels/, and config.json of Vistas v1.2"),
    Layout("ade20k", "ADEChallengeData2016 with images/<split>/ and annotations/<split>/"),
    Layout(
        "ade20k_full", "ADE20K_2021_17_01 with images/ADE/<split>/ or images_detectron2/<split>/"
    ),
    Layout("ade20k_2016", "ADE20K_2016_07_26 with images/<split>/ and *_atr.txt"),
    Layout("kitti", "training/image_2/ with training/semantic/"),
    Layout("voc", "VOC2012 with JPEGImages/, SegmentationClass[Aug]/ and lists"),
    Layout("context", "VOC2010 with trainval/*.mat, SegmentationClassContext/ or prepared maps"),
    Layout("coco_stuff", "images/<split>2017 with *_labelTrainIds.png or stuffthingmaps/"),
    Layout(
        "coco_instances",
        "annotations/instances_<split>.json, or any such JSON file",
        "coco.instances",
    ),
    Layout(
        "coco_panoptic",
        "annotations/panoptic_<split>.json with id PNGs, or the JSON file",
        "coco.panoptic",
    ),
    Layout(
        "coco_captions",
        "annotations/captions_<split>.json, or such a JSON file; no labels",
        "coco.captions",
    ),
    Layout(
        "color_png",
        "images/*.jpg with labels/*.png in colours, and class_dict.csv of what they mean",
        "maps.color_png",
    ),
    Layout(
        "voc_project",
        "JPEGImages/ with SegmentationClass/ and class_names.txt or labelmap.txt of a tool",
        "maps.voc_project",
    ),
    Layout("cvat", "annotations.xml of CVAT for images, with images/", "cvat.images"),
    Layout(
        "labelstudio",
        "a JSON export of Label Studio, with images/ as uploaded",
        "labelstudio.tasks",
    ),
    Layout("yolo", "images/ with labels/*.txt of polygons, and data.yaml", "yolo.folders"),
    Layout("supervisely", "meta.json with DATASET/img/ and DATASET/ann/*.json"),
    Layout("uvo", "FrameSet/UVO_frame_<split>.json, or VideoDenseSet/UVO_video_<split>_dense.json"),
    Layout("sa1b", "photographs with a JSON of masks without names beside each"),
    Layout("labelme", "photographs with LabelMe's *.json beside them", "labelme.project"),
    Layout("captions", 'captions.jsonl with {"image": "...", "captions": [...]}; no labels'),
)


def layouts() -> tuple[Layout, ...]:
    """Returns the known layouts, in the order in which tables show them."""
    return _LAYOUTS


def open_dataset(
    spec: str | Path,
    *,
    layout: str | None = None,
    split: str | None = None,
    vocabulary: VocabularySpec | None = None,
    options: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Returns the dataset at a path, or a generated one.

    Args:
        spec: a folder or file; or `synthetic:NAME`. Both take options after a question mark, as in
            `camvid?sequence=0001TP` or `synthetic:base?size=192&length=100&seed=3`.
        layout: one of `layouts()`; found by looking at the files if None.
        split: "train", "val", ...; if None, "train" where there is one, else the only split.
        vocabulary: names for the classes, in the order of the data set's own; needed for data that
            does not name its classes.
        options: further options of the layout, as after the question mark.
        skip_bad: leave out what is damaged, which `segtune.data.checks.left_out` lists, in place of
            refusing it; every file is read for this.

    Raises:
        FileNotFoundError: there is nothing at the path.
        DataError: the layout is unknown, ambiguous or damaged.

    Example:
        >>> open_dataset("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: dataset no/such/folder does not exist; check the path
    """
    names = None if vocabulary is None else read_vocabulary(vocabulary, in_label_order=True)
    place, given = _take_apart(str(spec))
    given |= options or {}
    if place.startswith(synthetic.PREFIX):
        if names is not None:
            raise DataError(f"{place} names its own classes; leave --vocab out")
        return synthetic.read(place.removeprefix(synthetic.PREFIX), given, split=split)
    path = Path(place)
    module = _choose(path, layout).module()
    known = inspect.signature(module.read).parameters
    for option in given:
        if option not in known or option in ("path", "split", "vocabulary"):
            possible = [name for name in known if name not in ("path", "split", "vocabulary")]
            raise DataError(
                f"{option!r} for {str(spec)!r} is not an option of this layout; "
                f"possible: {', '.join(possible) or 'none'}"
            )
    if skip_bad and "skip_bad" in known:
        given["skip_bad"] = "1"
    dataset = module.read(path, split=split, vocabulary=names, **given)
    return readable(dataset) if skip_bad else dataset


def read_vocabulary(
    spec: VocabularySpec, *, name: str | None = None, in_label_order: bool = False
) -> Vocabulary:
    """Returns the vocabulary that `spec` describes.

    Args:
        spec: the classes of a generated world ("synthetic:base") or of a folder of data, whose path
            has a slash ("./camvid"); or anything that `segtune.vocabulary.parse` reads: words, a
            file, a built-in name, a sequence of entries, or a vocabulary as it is.
        name: what tables call it; by default the file stem, the built-in name or "custom".
        in_label_order: see `parse_vocabulary`.

    Raises:
        SegtuneError: the vocabulary is empty, repeats a class, or is not understood.
        FileNotFoundError: `spec` is a path without a file.

    Example:
        >>> read_vocabulary("road, car | automobile, tree").names
        ('road', 'car', 'tree')
    """
    text = spec.strip() if isinstance(spec, str) else ""
    if text.startswith(synthetic.PREFIX) or ("/" in text and Path(text).is_dir()):
        return open_dataset(text).vocabulary
    return parse_vocabulary(spec, name=name, in_label_order=in_label_order)


def dataset_splits(spec: str | Path, *, layout: str | None = None) -> tuple[str, ...]:
    """Returns the splits of the dataset that `open_dataset` would open; ("all",) if undivided."""
    place, _ = _take_apart(str(spec))
    if place.startswith(synthetic.PREFIX):
        return synthetic.splits()
    path = Path(place)
    return _choose(path, layout).module().splits(path)


def layout_of(spec: str | Path, *, layout: str | None = None) -> str:
    """Returns the name of the layout in which `open_dataset` would read a path."""
    place, _ = _take_apart(str(spec))
    return "synthetic" if place.startswith(synthetic.PREFIX) else _choose(Path(place), layout).name


def looks_like(spec: str | Path, layout: str) -> bool:
    """Returns whether there are files at a path that can be read in a layout."""
    place, _ = _take_apart(str(spec))
    module = next(entry for entry in _LAYOUTS if entry.name == layout).module()
    return Path(place).exists() and module.detect(Path(place)) > 0


def _take_apart(spec: str) -> tuple[str, dict[str, str]]:
    """Returns the path and the options of `path?key=value&key=value`."""
    place, _, query = spec.partition("?")
    return place, dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))


def _choose(path: Path, layout: str | None) -> Layout:
    """Returns the layout asked for, or the one that the files at `path` look most like."""
    by_name = {entry.name: entry for entry in _LAYOUTS}
    if layout is not None and layout not in by_name:
        raise unknown_name(layout, by_name, what="layout")
    if not path.exists():
        raise FileNotFoundError(f"dataset {path} does not exist; check the path")
    if layout is not None:
        return by_name[layout]
    scores = {entry.name: entry.module().detect(path) for entry in _LAYOUTS}
    best = max(scores.values())
    found = [name for name, score in scores.items() if score == best]
    if best == 0 and (what := recognised(path)) is not None:
        raise DataError(f"{path} looks like {what}")
    if best == 0:
        raise DataError(
            f"{path} is in no known layout ({', '.join(by_name)}); "
            "check the path or name one with --layout"
        )
    if len(found) > 1:
        raise DataError(
            f"{path} can be read as {' or as '.join(found)}; choose one with --layout {found[0]}"
        )
    return by_name[found[0]]
