"""COCO instance JSON: read as annotations; written as annotations or as a result file.

    annotations/instances_{train,val}2017.json   {train,val}2017/*.jpg  (or images/...)
    annotations/lvis_v1_val.json                 same images, found by their URL
    {train,valid,test}/_annotations.coco.json    images beside it
    any.json                                     images beside it, or ?images=FOLDER

Masks may be polygons, RLE as lists, or compressed RLE; crowd regions keep their flag. Category ids
need not be contiguous: class ids are their rank. LVIS frequencies and negatives are not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtune.data.folders import choose_split, named_as
from segtune.data.formats.coco_document import CocoDocument
from segtune.data.formats.coco_files import (
    CocoRecord,
    find_images,
    find_json_files,
    image_id_of,
    image_name,
    load_json,
    numbered,
    read_categories,
    sample_ids,
    save_json,
)
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import image_size
from segtune.types import Instance, Sample, Segmentation, Vocabulary


def detect(path: Path) -> float:
    """Returns 1 for an instance JSON or a folder with one where it is expected, else 0."""
    return float(bool(find_json_files(path, "instances")))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a JSON file."""
    return tuple(find_json_files(path, "instances"))


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
) -> IndexedDataset[CocoRecord]:
    """Returns the images of a JSON file with their instances.

    Args:
        path: the JSON file, or a folder in one of the layouts above.
        split: "train", "val", ...
        vocabulary: other names for the categories, in the order of their ids.
        images: folder of the images, where it is not found by itself.
    """
    files = find_json_files(path, "instances")
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    content = load_json(file, annotation_keys=("image_id", "category_id"))
    names, class_ids = read_categories(content, file=file)
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation["category_id"] not in class_ids:
            raise DataError(
                f"{file}: annotation {annotation.get('id')} has the category "
                f"{annotation['category_id']}, which is not in its list of categories"
            )
        by_image[annotation["image_id"]].append(annotation)
    entries = content["images"]
    if unknown := sorted(set(by_image) - {image["id"] for image in entries}):
        raise DataError(f"{file}: image {unknown[0]} has annotations but is not in its image list")
    files_named = [image_name(image) for image in entries]
    folder = find_images(file, files_named, split=split, images=images) if entries else file.parent
    records = [
        CocoRecord(sample_id, folder / name, None, image["id"], tuple(by_image[image["id"]]))
        for sample_id, name, image in zip(
            sample_ids(files_named), files_named, entries, strict=True
        )
    ]
    loader = InstanceLoader(class_ids, file)
    names = named_as(names, vocabulary, layout="coco_instances")
    return IndexedDataset(file.stem, split, names, records, loader)


@dataclass(frozen=True)
class InstanceLoader:
    """Makes a sample of a record: decodes its masks at the size of its image file."""

    class_ids: Mapping[int, int]
    file: Path

    def __call__(self, record: CocoRecord) -> Sample:
        size = image_size(record.image)
        instances = tuple(
            Instance(
                self.class_ids[annotation["category_id"]],
                self._mask(annotation, size),
                is_crowd=bool(annotation.get("iscrowd", 0)),
            )
            for annotation in record.annotations
        )
        return Sample(record.id, record.image, instances=instances)

    def _mask(self, annotation: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
        try:
            return decode_mask(annotation.get("segmentation"), size)
        except ValueError as error:
            where = f"{self.file}: annotation {annotation.get('id')}"
            raise DataError(f"{where} {error}; expected polygons or RLE") from None


def decode_mask(segmentation: object, size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool mask of COCO polygons or RLE on an image of `size`.

    Raises:
        ValueError: there is no mask, or it is damaged or of another size; the message continues
            a sentence that names the annotation.
    """
    from pycocotools import mask as coco_mask

    height, width = size
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        if not polygons:
            raise ValueError("has no polygon of three points or more")
        parts = coco_mask.frPyObjects(polygons, height, width)
        return coco_mask.decode(coco_mask.merge(parts)).astype(bool)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise ValueError("has no segmentation")
    if tuple(segmentation["size"]) != size:
        h, w = segmentation["size"]
        raise ValueError(f"is a mask of {w}x{h} on an image of {width}x{height}")
    rle = segmentation
    if isinstance(rle["counts"], list):
        if sum(rle["counts"]) != height * width:
            raise ValueError("has run lengths that do not fill the image")
        rle = coco_mask.frPyObjects(rle, height, width)
    return coco_mask.decode(rle).astype(bool)


def write_results(
    path: Path | str,
    results: Iterable[tuple[str, Segmentation]],
    *,
    category_ids: Sequence[int] | None = None,
    image_ids: Mapping[str, int | str] | None = None,
) -> Path:
    """Writes scored segments as a COCO result file, the list that evaluation servers take.

    Args:
        path: the JSON file.
        results: (sample id, result) pairs.
        category_ids: the data set's id of each class; 1, 2, 3, ... by default. For COCO use
            `segtune.vocabulary.builtin.category_ids("coco_80")`.
        image_ids: the data set's id of each sample, from `coco_files.image_ids`; by default the
            number that the sample id is, else its position.
    """
    entries = []
    for position, (sample_id, result) in enumerate(results):
        image_id = image_id_of(sample_id, position, image_ids)
        for entry, score in _entries(result, category_ids):
            entries.append({"image_id": image_id, **entry, "score": score})
    return save_json(path, entries)


def write_annotations(
    path: Path | str,
    results: Iterable[tuple[str, Segmentation]],
    *,
    vocabulary: Vocabulary,
    category_ids: Sequence[int] | None = None,
    image_ids: Mapping[str, int | str] | None = None,
    image_names: Mapping[str, str] | None = None,
) -> Path:
    """Writes segments as an annotation file, which `read` and labelling tools take.

    Args:
        path: the JSON file.
        results: (sample id, result) pairs over `vocabulary`, consumed one at a time.
        vocabulary, category_ids, image_ids, image_names: see `CocoDocument`. For COCO use
            `segtune.vocabulary.builtin.category_ids("coco_80")`.
    """
    with CocoDocument(
        path,
        vocabulary=vocabulary,
        category_ids=category_ids,
        image_ids=image_ids,
        image_names=image_names,
    ) as document:
        for sample_id, result in results:
            add_segments(document, sample_id, result)
    return document.path


def add_segments(document: CocoDocument, sample_id: str, result: Segmentation) -> None:
    """Adds one image with all of its segments to an annotation file."""
    image_id = document.add_image(sample_id, result.size)
    for entry, _ in _entries(result, document.category_ids):
        number = document.num_annotations + 1
        document.add_annotation({"id": number, "image_id": image_id, **entry, "iscrowd": 0})


def _entries(
    result: Segmentation, category_ids: Sequence[int] | None
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yields the JSON entry and the score of every segment."""
    from pycocotools import mask as coco_mask

    ids = numbered(result.vocabulary, category_ids)
    for segment in result.segments:
        rle = coco_mask.encode(np.asfortranarray(segment.full_mask(result.size), dtype=np.uint8))
        height, width = result.size
        entry = {
            "category_id": int(ids[segment.class_id]),
            "segmentation": {"size": [height, width], "counts": rle["counts"].decode("ascii")},
            "bbox": [float(value) for value in coco_mask.toBbox(rle)],
            "area": int(segment.mask.sum()),
        }
        yield entry, float(segment.score)
