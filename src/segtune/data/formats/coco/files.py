"""What the COCO formats share: finding the JSON of a split, its images and its classes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from segtune.data.checks.left_out import LeftOut
from segtune.data.folders import SPLIT_FOLDERS, UNSPLIT, exists, inside
from segtune.data.formats.coco.schemas import Category, CocoImage, Id, plain_id
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.types import Concept, Vocabulary
from segtune.vocabulary.colors import read_color

CocoKind = Literal["instances", "panoptic", "captions"]
RecordT = TypeVar("RecordT", bound=Record)

ROBOFLOW = "_annotations.coco.json"
IMAGE_FOLDERS = ("images", "JPEGImages", "data", "img", "imgs")
UNDIVIDED = ("annotations", "result", "labels", "coco", "instances", "_annotations")
"""Names of files that hold all there is."""
OTHER_LAYOUTS = ("UVO_",)
"""Begins of the names of files that another layout reads."""
MOST_FILES = 20
"""JSON files of a folder that are looked into; folders of LabelMe have one per image."""
FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}
"""Tags of LVIS, which are the groups of its classes."""
NAMES_TRIED = 50
"""Images that are looked for in the usual folders, before these are given up."""


@dataclass(frozen=True)
class CocoRecord(Record):
    """A record of a COCO file; `label` is the id PNG of panoptic data.

    Attributes:
        image_id: the id of the image in the JSON, which result files refer to.
        annotations: the entries of this image; for panoptic data, its segments.
        stated_size: (height, width) of the image in the JSON, in which its polygons are drawn.
        absent: class ids that are known not to be in the image, of LVIS; None elsewhere.
        not_exhaustive: class ids of which some objects may be without annotation, of LVIS.
    """

    image_id: int | str = 0
    annotations: tuple[Any, ...] = ()
    stated_size: tuple[float | None, float | None] = (None, None)
    absent: tuple[int, ...] | None = None
    not_exhaustive: tuple[int, ...] = ()


def image_ids(dataset: IndexedDataset[CocoRecord]) -> dict[str, int | str]:
    """Returns sample id -> image id of the JSON, which result files must use."""
    return {record.id: record.image_id for record in dataset.records}


def find_json_files(path: Path, kind: CocoKind) -> dict[str, Path]:
    """Returns split -> JSON file of the kind, for a data set folder or a JSON file itself."""
    if path.is_file():
        is_kind = path.suffix.lower() == ".json" and kind_of(path) == kind
        return {_split_of(path, kind): path} if is_kind else {}
    files = [*path.glob(f"annotations/{kind}_*.json"), *path.glob(f"{kind}_*.json")]
    if kind == "instances":
        files += [*path.glob("annotations/lvis_*.json"), *path.glob(f"*/{ROBOFLOW}")]
        files += path.glob(ROBOFLOW)
    if not files:
        files = [file for file in _other_files(path) if kind_of(file) == kind]
    splits = {_split_of(file, kind): file for file in sorted(files, reverse=True)}
    return {split: splits[split] for split in sorted(splits, key=lambda s: (s != "train", s))}


def _other_files(path: Path) -> Iterator[Path]:
    """Yields JSON files under other names where tools put them; few, as each is looked into."""
    folders = [path / name for names in SPLIT_FOLDERS.values() for name in names]
    for folder in (path, path / "annotations", *folders):
        yield from sorted(islice(folder.glob("*.json"), MOST_FILES))


def kind_of(file: Path) -> CocoKind | None:
    """Returns what a JSON file holds, by its name or the keys in it; None for none of these."""
    for kind in get_args(CocoKind):
        if file.stem.startswith(f"{kind}_"):
            return kind
    if file.stem.startswith(OTHER_LAYOUTS):
        return None
    text = file.read_bytes()
    if b'"annotations"' not in text or b'"images"' not in text:
        return None
    if b'"segments_info"' in text:
        return "panoptic"
    return "captions" if b'"caption"' in text and b'"category_id"' not in text else "instances"


def _split_of(file: Path, kind: CocoKind) -> str:
    stem = file.parent.name if file.name == ROBOFLOW else file.stem
    if file.name == ROBOFLOW and stem not in {n for names in SPLIT_FOLDERS.values() for n in names}:
        return UNSPLIT
    words = re.findall(r"train|minival|val|test", stem)
    if words:
        return words[-1]
    if stem.startswith(f"{kind}_"):
        return stem.removeprefix(f"{kind}_")
    known = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
    return known.get(file.parent.name, UNSPLIT if stem in UNDIVIDED else stem)


def ids_of(entries: Sequence[Any], *, kind: str, file: Path) -> dict[int | str, Any]:
    """Returns id -> entry, of a list whose entries have an id.

    Raises:
        DataError: two have the same, or one as a number and one as text.
    """
    by_id: dict[int | str, Any] = {}
    seen: set[str] = set()
    for entry in entries:
        number = plain_id(entry.id)
        if str(number) in seen:
            raise DataError(f"{file} has two {kind} with the id {number}; renumber one of them")
        seen.add(str(number))
        by_id[number] = entry
    return by_id


def find_id(number: Id, known: Mapping[int | str, Any]) -> int | str | None:
    """Returns the id among those known; text and number count as equal. None where it is not."""
    if number in known:
        return plain_id(number)
    plain = plain_id(number)
    if isinstance(plain, int):
        other: int | str = str(plain)
    else:
        other = int(plain) if plain.isdecimal() else plain
    return other if other in known else None


def read_categories(
    categories: Sequence[Category], used: Iterable[int | str], *, file: Path
) -> tuple[Vocabulary, dict[int | str, int]]:
    """Returns the vocabulary in the order of the category ids, and category id -> class id.

    Roboflow puts a category above all others that no object has; it is no class.

    Args:
        categories: of the JSON.
        used: ids that annotations refer to.
        file: the JSON.
    """
    by_id = ids_of(categories, kind="categories", file=file)
    root = _root_category(by_id, set(used))
    order = sorted((i for i in by_id if i != root), key=lambda i: (isinstance(i, str), i))
    if not order:
        raise DataError(f"{file} has no categories, so its annotations have no names")
    concepts = tuple(_concept(by_id[number], file) for number in order)
    class_ids = {number: i for i, number in enumerate(order)}
    names = [concept.name.strip().lower() for concept in concepts]
    if len(set(names)) < len(names):
        name = next(name for i, name in enumerate(names) if name in names[:i])
        ids = [str(i) for i, other in zip(order, names, strict=True) if other == name]
        raise DataError(
            f"{file} has two categories called {name!r}, with the ids {' and '.join(ids)}; "
            "rename one, or make them one"
        )
    return Vocabulary(concepts, name=file.stem), class_ids


def _root_category(by_id: Mapping[int | str, Category], used: set[int | str]) -> int | str | None:
    """Returns the category that only groups all others; None where there is none."""
    if 0 not in by_id or 0 in used or len(by_id) < 2:
        return None
    root = by_id[0]
    others = (category for number, category in by_id.items() if number != 0)
    is_above = all(category.supercategory == root.name for category in others)
    return 0 if is_above and root.supercategory in (None, "none", root.name) else None


def _concept(category: Category, file: Path) -> Concept:
    name = str(category.name)
    if not name.strip():
        raise DataError(f"{file}: category {category.id} has an empty name; name it")
    is_thing = category.isthing is None or bool(category.isthing)
    return Concept(
        name,
        kind="thing" if is_thing else "stuff",
        group=FREQUENCIES.get(category.frequency or ""),
        color=read_color(category.color),
    )


def find_images(file: Path, names: Sequence[str], *, split: str, images: str | None) -> Path:
    """Returns the folder in which the image files that a JSON names are found.

    Args:
        file: the JSON.
        names: `file_name` of its images; the first that is there decides.
        split: its images may lie in a folder of that name.
        images: the folder, where the user gave it.
    """
    if images is not None:
        folders = [Path(images)]
    else:
        roots = (file.parent, file.parent.parent)
        below = SPLIT_FOLDERS.get(split, (split,))
        folders = [root / part for root in roots for part in ("", *IMAGE_FOLDERS)]
        folders += [folder / name for folder in list(folders) for name in (*below, file.stem)]
    tried = names[:: max(len(names) // NAMES_TRIED, 1)]
    found = next((f for name in tried for f in folders if exists(f / name)), None)
    if found is None:
        raise DataError(
            f"the images of {file} were not found: no {names[0]} in {folders[0]} or the usual "
            "folders near it; name the folder as 'FILE?images=FOLDER'"
        )
    return found


def image_paths(
    file: Path,
    names: Sequence[str],
    *,
    split: str,
    images: str | None,
    is_named: bool | None = None,
) -> list[Path]:
    """Returns where the images are that a JSON names.

    Args:
        file, names, split, images: see `find_images`.
        is_named: the user gave `images`, who then answers for what lies there; by default where
            it is not None.

    Raises:
        DataError: they are not found, or one lies outside of the data set.
    """
    if not names:
        return []
    folder = find_images(file, names, split=split, images=images)
    if images is not None if is_named is None else is_named:
        return [folder / (Path(n).name if Path(n).is_absolute() else n) for n in names]
    return [inside(folder, name, where=str(file), root=root_of(file)) for name in names]


def root_of(file: Path) -> Path:
    """Returns the folder of the data set that an annotation file belongs to."""
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def on_disk(
    records: Sequence[RecordT], *, file: Path, skip_bad: bool
) -> tuple[list[RecordT], list[LeftOut]]:
    """Returns the records whose image file is there, and those left out.

    Raises:
        DataError: one is missing and `skip_bad` is not set.
    """
    names: dict[Path, set[str]] = {}
    for folder in {record.image.parent for record in records}:
        names[folder] = set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208
    lacking = [record for record in records if record.image.name not in names[record.image.parent]]
    if not lacking:
        return list(records), []
    if not skip_bad:
        raise DataError(
            f"{len(lacking)} of {len(records)} images of {file} are missing, the first is "
            f"{lacking[0].image}; add them, or leave them out with --skip-bad"
        )
    gone = {record.id for record in lacking}
    kept = [record for record in records if record.id not in gone]
    if not kept:
        raise DataError(f"none of the images of {file} is there; check ?images=FOLDER")
    return kept, [LeftOut(record.image.name, "image file is missing") for record in lacking]


def image_name(image: CocoImage, *, file: Path) -> str:
    """Returns the file of an image entry; LVIS gives a URL that ends in folder and name."""
    if image.file_name:
        return image.file_name.replace("\\", "/")
    if image.coco_url:
        return "/".join(image.coco_url.split("/")[-2:])
    raise DataError(f"image {image.id} of {file} has no 'file_name'")


def sample_ids(names: Sequence[str]) -> list[str]:
    """Returns the stems of the image names, or their whole paths where stems repeat."""
    stems = [Path(name).stem for name in names]
    if len(set(stems)) == len(stems):
        return stems
    return ["_".join(Path(name).with_suffix("").parts) for name in names]


def numbered(vocabulary: Vocabulary, category_ids: Sequence[int] | None) -> Sequence[int]:
    """Returns the category ids given, or 1, 2, 3, ...; there must be one per class."""
    if category_ids is None:
        return range(1, len(vocabulary) + 1)
    if len(category_ids) != len(vocabulary):
        raise DataError(
            f"{len(category_ids)} category ids were given for {len(vocabulary)} classes; "
            "give one per class in class order"
        )
    return category_ids


def image_id_of(sample_id: str, position: int, known: Mapping[str, int | str] | None) -> int | str:
    """Returns the image id to write: the known one, else the number in the name, else a count."""
    if known is not None:
        return known[sample_id]
    return int(sample_id) if sample_id.isdecimal() else position


def save_json(path: Path | str, content: object) -> Path:
    """Writes a document in one go and returns its path."""
    path = Path(path)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)
    return path
