"""What the COCO formats share: finding the JSON of a split, its images and its classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from segtune.data.folders import SPLIT_FOLDERS, UNSPLIT
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.types import Concept, Vocabulary

CocoKind = Literal["instances", "panoptic", "captions"]

ROBOFLOW = "_annotations.coco.json"


@dataclass(frozen=True)
class CocoRecord(Record):
    """A record with its annotations as the JSON has them; `label` is the id PNG of panoptic data.

    Attributes:
        image_id: the id of the image in the JSON, which result files refer to.
        annotations: the entries of this image; for panoptic data, its segments.
    """

    image_id: int | str = 0
    annotations: tuple[Mapping[str, Any], ...] = ()


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
    splits = {_split_of(file, kind): file for file in sorted(files, reverse=True)}
    return {split: splits[split] for split in sorted(splits, key=lambda s: (s != "train", s))}


def kind_of(file: Path) -> CocoKind | None:
    """Returns what a JSON file holds, by its name or the keys in it; None for none of these."""
    for kind in get_args(CocoKind):
        if file.stem.startswith(f"{kind}_"):
            return kind
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
    return words[-1] if words else stem.removeprefix(f"{kind}_")


def load_json(
    file: Path, *, annotation_keys: Sequence[str], with_categories: bool = True
) -> dict[str, Any]:
    """Returns a COCO document whose entries have the keys that are needed.

    Args:
        file: the JSON.
        annotation_keys: what every annotation must have.
        with_categories: whether there must be a list of categories.

    Raises:
        DataError: it is no JSON, or lacks a list or a key.
    """
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        reason = getattr(error, "msg", "not text")
        line = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file} is not valid JSON: {reason}{line}; copy the file again") from None
    needed: dict[str, Sequence[str]] = {"images": ("id",), "annotations": annotation_keys}
    if with_categories:
        needed["categories"] = ("id", "name")
    for name, keys in needed.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{file} has no list {name!r}; expected a COCO annotation file")
        for entry in content[name]:
            if lacking := [key for key in keys if key not in entry]:
                raise DataError(f"{file}: an entry of {name!r} has no {lacking[0]!r}")
    return content


def read_categories(content: dict[str, Any], *, file: Path) -> tuple[Vocabulary, dict[int, int]]:
    """Returns the vocabulary in the order of the category ids, and category id -> class id."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    if not categories:
        raise DataError(f"{file} has no categories, so its annotations have no names")
    concepts = tuple(
        Concept(
            category["name"],
            kind="thing" if category.get("isthing", 1) else "stuff",
            color=tuple(category["color"]) if "color" in category else None,
        )
        for category in categories
    )
    class_ids = {category["id"]: i for i, category in enumerate(categories)}
    return Vocabulary(concepts, name=file.stem), class_ids


def find_images(file: Path, names: Sequence[str], *, split: str, images: str | None) -> Path:
    """Returns the folder in which the image files that a JSON names are found.

    Args:
        file: the JSON.
        names: `file_name` of its images; the first one is looked for.
        split: its images may lie in a folder of that name.
        images: the folder, where the user gave it.
    """
    if images is not None:
        folders = [Path(images)]
    else:
        roots = (file.parent, file.parent.parent)
        below = SPLIT_FOLDERS.get(split, (split,))
        folders = [root / part for root in roots for part in ("", "images")]
        folders += [folder / name for folder in list(folders) for name in (*below, file.stem)]
    found = next((folder for folder in folders if (folder / names[0]).is_file()), None)
    if found is None:
        raise DataError(
            f"the images of {file} were not found: no {names[0]} in {folders[0]} or the usual "
            "folders near it; name the folder as 'FILE?images=FOLDER'"
        )
    return found


def image_name(image: Mapping[str, Any]) -> str:
    """Returns the file of an image entry; LVIS gives a URL that ends in folder and name."""
    if "file_name" in image:
        return image["file_name"]
    if "coco_url" in image:
        return "/".join(image["coco_url"].split("/")[-2:])
    raise DataError(f"image {image['id']} of the COCO file has no 'file_name'")


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
