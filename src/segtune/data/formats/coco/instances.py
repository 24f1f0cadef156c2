"""COCO instance JSON: read as annotations; written as annotations or as a result file.

    annotations/instances_{train,val}2017.json   {train,val}2017/*.jpg  (or images/...)
    annotations/lvis_v1_val.json                 same images, found by their URL
    {train,valid,test}/_annotations.coco.json    images beside it
    {train,val}/annotations.json, {train,val}.json, annotations/{train,val}.json
    annotations.json, result.json, labels.json   images beside it, in images/, data/, JPEGImages/
    any.json                                     images beside it, or ?images=FOLDER

Masks may be polygons, RLE as lists, or compressed RLE; crowd regions keep their flag. Category ids
need not be contiguous: class ids are their rank. LVIS frequencies are groups of classes; samples
have the classes that are absent, and those that are not annotated exhaustively.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.folders import choose_split, named_as
from segtune.data.formats.coco.document import CocoDocument
from segtune.data.formats.coco.files import (
    CocoRecord,
    find_id,
    find_json_files,
    ids_of,
    image_id_of,
    image_name,
    image_paths,
    numbered,
    on_disk,
    read_categories,
    sample_ids,
    save_json,
)
from segtune.data.formats.coco.schemas import Annotation, Id, Instances
from segtune.data.masks.frames import frame_of
from segtune.data.masks.outlines import polygons
from segtune.data.masks.shapes import ShapeError, check_shape, is_shapeless
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import read_header
from segtune.storage.json_files import read_json
from segtune.types import Instance, Sample, Segmentation, Vocabulary
from segtune.vocabulary.protocols import find_protocol

logger = logging.getLogger(__name__)

BOX_ONLY = "a bounding box without a mask (--boxes of `segtune segment` makes masks of boxes)"


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
    groups: str | None = None,
    skip_bad: str | None = None,
) -> IndexedDataset[CocoRecord]:
    """Returns the images of a JSON file with their instances.

    Annotations that have a bounding box only are left out.

    Args:
        path: the JSON file, or a folder in one of the layouts above.
        split: "train", "val", ...
        vocabulary: other names for the categories, in the order of their ids.
        images: folder of the images, where it is not found by itself.
        groups: a protocol, such as LVIS-OW, that says which classes are known, seen and unseen.
        skip_bad: "1" leaves damaged annotations and missing images out.
    """
    files = find_json_files(path, "instances")
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    skips = skip_bad == "1"
    damaged: list[str] | None = [] if skips else None
    content = read_json(file, Instances, skipped=damaged)
    left_out = [LeftOut(problem, "damaged") for problem in damaged or ()]
    names, load, records = read_document(
        content, file, split=split, images=images, skips=skips, left_out=left_out
    )
    names = named_as(_in_groups(names, groups), vocabulary, layout="coco_instances")
    return IndexedDataset(file.stem, split, names, records, load)


def _in_groups(names: Vocabulary, protocol: str | None) -> Vocabulary:
    """Returns the classes with the groups of a protocol, which must be about these."""
    if protocol is None:
        return names
    known = find_protocol(protocol).classes()
    if known.names != names.names:
        raise DataError(
            f"groups={protocol} is about {len(known)} classes ({known.names[0]}, ...), but "
            f"{names.name} has {len(names)} ({names.names[0]}, ...); choose that of the data"
        )
    return known


def read_document(
    content: Instances,
    file: Path,
    *,
    split: str,
    images: str | None,
    skips: bool,
    left_out: Sequence[LeftOut] = (),
    is_named: bool | None = None,
) -> tuple[Vocabulary, InstanceLoader, Found[CocoRecord]]:
    """Returns the classes, what reads a record, and the records of a file of objects.

    Args:
        content: of the file.
        split, images: see `read`.
        skips: damaged annotations and missing images are left out.
        left_out: what was left out of the content already.
        is_named: see `image_paths`.
    """
    checked = _Checked(content, file, skips=skips)
    names, class_ids = read_categories(content.categories, checked.used, file=file)
    entries = content.images
    files_named = [image_name(image, file=file) for image in entries]
    places = image_paths(file, files_named, split=split, images=images, is_named=is_named)
    records: Sequence[CocoRecord] = [
        CocoRecord(
            sample_id,
            place,
            None,
            number,
            tuple(checked.by_image.get(number, ())),
            (image.height, image.width),
            None if image.neg_category_ids is None else _classes(image.neg_category_ids, class_ids),
            _classes(image.not_exhaustive_category_ids, class_ids),
        )
        for sample_id, place, (number, image) in zip(
            sample_ids(files_named), places, checked.images.items(), strict=True
        )
    ]
    records, missing = on_disk(records, file=file, skip_bad=skips)
    found = Found.of(records, [*left_out, *checked.left_out, *missing])
    return names, InstanceLoader(class_ids, file, skips), found


def _classes(numbers: Iterable[Id], class_ids: Mapping[int | str, int]) -> tuple[int, ...]:
    """Returns class ids of category ids; those that are none are left out."""
    found = (find_id(number, class_ids) for number in numbers)
    return tuple(class_ids[number] for number in found if number is not None)


class _Checked:
    """The annotations of a file by image, each seen once: its ids and its shape.

    Attributes:
        images: image id -> entry.
        by_image: image id -> annotations that have a mask.
        used: ids of the categories that are referred to.
        left_out: annotations that do not count.
    """

    def __init__(self, content: Instances, file: Path, *, skips: bool) -> None:
        self.images = ids_of(content.images, kind="images", file=file)
        self.by_image: dict[int | str, list[Annotation]] = defaultdict(list)
        self.used: set[int | str] = set()
        self.left_out: list[LeftOut] = []
        categories = ids_of(content.categories, kind="categories", file=file)
        seen: set[Any] = set()
        for position, annotation in enumerate(content.annotations):
            try:
                image, category = self._places(annotation, categories)
                if annotation.id is not None and annotation.id in seen:
                    raise ShapeError("has the id of another annotation; renumber one of them")
                seen.add(annotation.id)
                self.used.add(category)
                shape = annotation.segmentation
                if shape is None or is_shapeless(shape):
                    self.left_out.append(LeftOut(_name(annotation, position), BOX_ONLY))
                    continue
                check_shape(shape)
            except ShapeError as error:
                name = _name(annotation, position)
                if not skips:
                    raise DataError(
                        f"{file}: {name} {error}; correct it, or leave it out with --skip-bad"
                    ) from None
                self.left_out.append(LeftOut(f"{name} {error}", "damaged"))
                continue
            annotation.category_id = category
            self.by_image[image].append(annotation)
        boxes = sum(each.why == BOX_ONLY for each in self.left_out)
        if boxes and not self.by_image:
            raise DataError(
                f"{file} has {boxes} bounding boxes and no masks; make masks of them with `segtune "
                'segment IMAGES --boxes FILE.json --format coco`, where FILE.json is {"a.jpg": '
                "[[left, top, right, bottom], ...]}"
            )

    def _places(
        self, annotation: Annotation, categories: Mapping[int | str, Any]
    ) -> tuple[int | str, int | str]:
        """Returns the ids of image and category as their lists have them."""
        image = find_id(annotation.image_id, self.images)
        if image is None:
            raise ShapeError(f"is of image {annotation.image_id}, which is not in its image list")
        category = find_id(annotation.category_id, categories)
        if category is None:
            raise ShapeError(
                f"has the category {annotation.category_id}, which is not in its list of categories"
            )
        return image, category


def _name(annotation: Annotation, position: int) -> str:
    known = annotation.id
    return f"entry {position} of 'annotations'" if known is None else f"annotation {known}"


@dataclass(frozen=True)
class InstanceLoader:
    """Makes a sample of a record: its masks on the upright image, see `masks/frames.py`.

    Attributes:
        class_ids: category id -> class id.
        file: the JSON, for messages.
        skips: damaged masks are left out and named in the log.
    """

    class_ids: Mapping[int | str, int]
    file: Path
    skips: bool = False

    def __call__(self, record: CocoRecord) -> Sample:
        header = read_header(record.image)
        what = f"{self.file}, image {record.image_id} ({record.image.name})"
        frame = frame_of(header, record.stated_size, what=what)
        instances = []
        for position, annotation in enumerate(record.annotations):
            try:
                mask = frame.mask(annotation.segmentation)
            except ShapeError as error:
                problem = f"{self.file}: {_name(annotation, position)} {error}"
                if not self.skips:
                    raise DataError(
                        f"{problem}; correct it, or leave it out with --skip-bad"
                    ) from None
                logger.warning("left out: %s", problem)
                continue
            class_id = self.class_ids[annotation.category_id]
            instances.append(Instance(class_id, mask, is_crowd=bool(annotation.iscrowd)))
        return Sample(
            record.id,
            record.image,
            instances=tuple(instances),
            absent_ids=record.absent,
            not_exhaustive_ids=record.not_exhaustive,
        )


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
        image_ids: the data set's id of each sample, from `files.image_ids`; by default the
            number that the sample id is, else its position.
    """
    entries = []
    for position, (sample_id, result) in enumerate(results):
        image_id = image_id_of(sample_id, position, image_ids)
        entries += result_entries(result, image_id=image_id, category_ids=category_ids)
    return save_json(path, entries)


def result_entries(
    result: Segmentation, *, image_id: int | str, category_ids: Sequence[int] | None
) -> list[dict[str, Any]]:
    """Returns the entries of an image in a result file."""
    scored = _entries(result, category_ids)
    return [{"image_id": image_id, **entry, "score": score} for entry, score in scored]


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


def add_segments(
    document: CocoDocument, sample_id: str, result: Segmentation, *, as_polygons: bool = False
) -> None:
    """Adds one image with all of its segments to an annotation file.

    Args:
        as_polygons: one exact polygon per part in place of RLE, which fills to the same pixels.
    """
    image_id = document.add_image(sample_id, result.size)
    for entry, score in _entries(result, document.category_ids, as_polygons=as_polygons):
        number = document.num_annotations + 1
        about = {"iscrowd": 0, "score": score}
        document.add_annotation({"id": number, "image_id": image_id, **entry, **about})


def _entries(
    result: Segmentation, category_ids: Sequence[int] | None, *, as_polygons: bool = False
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yields the JSON entry and the score of every segment."""
    from pycocotools import mask as coco_mask

    ids = numbered(result.vocabulary, category_ids)
    for segment in result.segments:
        rle = coco_mask.encode(np.asfortranarray(segment.full_mask(result.size), dtype=np.uint8))
        height, width = result.size
        entry = {
            "category_id": int(ids[segment.class_id]),
            "segmentation": {"size": [height, width], "counts": rle["counts"].decode("ascii")}
            if not as_polygons
            else [(part + segment.box_px[:2]).ravel().tolist() for part in polygons(segment.mask)],
            "bbox": [float(value) for value in coco_mask.toBbox(rle)],
            "area": int(segment.mask.sum()),
        }
        yield entry, float(segment.score)
