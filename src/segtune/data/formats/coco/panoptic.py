"""COCO panoptic: a JSON of segments and one PNG of segment ids per image. Read and written.

    annotations/panoptic_{train,val}2017.json
    annotations/panoptic_{train,val}2017/*.png       segment id = R + 256 G + 65536 B, 0 unlabelled
    {train,val}2017/*.jpg                            (or images/...)

A sample has a semantic map, and one instance per segment, stuff included; the vocabulary says which
classes are things.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.folders import choose_split, inside, named_as
from segtune.data.formats.coco.document import CocoDocument
from segtune.data.formats.coco.files import (
    CocoRecord,
    find_id,
    find_json_files,
    ids_of,
    image_name,
    image_paths,
    on_disk,
    read_categories,
    sample_ids,
)
from segtune.data.formats.coco.schemas import Panoptic, PanopticAnnotation, plain_id
from segtune.data.labels import check_size
from segtune.data.masks.files import packed, read_stored
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.storage.json_files import read_json
from segtune.types import IGNORE, Instance, Sample, Segment, Segmentation, Vocabulary


def detect(path: Path) -> float:
    """Returns 1 for a panoptic JSON or a folder with one where it is expected, else 0."""
    return float(bool(find_json_files(path, "panoptic")))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a JSON file."""
    return tuple(find_json_files(path, "panoptic"))


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
    skip_bad: str | None = None,
) -> IndexedDataset[CocoRecord]:
    """Returns the images of a JSON file with their segments.

    Args:
        path: the JSON file, or a folder in the layout above.
        split: "train", "val", ...
        vocabulary: other names for the categories, in the order of their ids.
        images: folder of the images, where it is not found by itself.
        skip_bad: "1" leaves damaged entries and missing images out.
    """
    files = find_json_files(path, "panoptic")
    split = choose_split(tuple(files), split, path=path)
    file = files[split]
    skips = skip_bad == "1"
    damaged: list[str] | None = [] if skips else None
    content = read_json(file, Panoptic, skipped=damaged)
    png_folder = file.with_suffix("")
    if not png_folder.is_dir():
        raise DataError(f"the id PNGs of {file} were not found; expected the folder {png_folder}")
    annotations, left_out = _checked(content, file, skips=skips)
    used = {plain_id(segment.category_id) for each in annotations for segment in each.segments_info}
    names, class_ids = read_categories(content.categories, used, file=file)
    listed = ids_of(content.images, kind="images", file=file)
    image_files = [image_name(listed[plain_id(each.image_id)], file=file) for each in annotations]
    places = image_paths(file, image_files, split=split, images=images)
    records = [
        CocoRecord(
            sample_id,
            place,
            inside(png_folder, annotation.file_name, where=str(file)),
            plain_id(annotation.image_id),
            tuple(annotation.segments_info),
        )
        for sample_id, place, annotation in zip(
            sample_ids(image_files), places, annotations, strict=True
        )
    ]
    records, missing = on_disk(records, file=file, skip_bad=skips)
    left_out += [LeftOut(problem, "damaged") for problem in damaged or ()]
    found = Found.of(records, [*left_out, *missing])
    names = named_as(names, vocabulary, layout="coco_panoptic")
    return IndexedDataset(file.stem, split, names, found, SegmentLoader(class_ids))


def _checked(
    content: Panoptic, file: Path, *, skips: bool
) -> tuple[list[PanopticAnnotation], list[LeftOut]]:
    """Returns the annotations with ids as their lists have them, and those that are damaged."""
    images = ids_of(content.images, kind="images", file=file)
    categories = ids_of(content.categories, kind="categories", file=file)
    kept: list[PanopticAnnotation] = []
    left_out: list[LeftOut] = []
    seen: set[int | str] = set()
    for annotation in content.annotations:
        image = find_id(annotation.image_id, images)
        problems = list(_problems(annotation, categories))
        if image is None:
            problems.insert(0, "has annotations but is not in its image list")
        elif image in seen:
            problems.insert(0, "has two entries of annotations")
        if problems and not skips:
            raise DataError(f"{file}: image {annotation.image_id} {problems[0]}; correct it")
        if problems or image is None:
            left_out.append(LeftOut(f"image {annotation.image_id} {problems[0]}", "damaged"))
            continue
        seen.add(image)
        annotation.image_id = image
        kept.append(annotation)
    left_out += [LeftOut(f"image {i}", "no segments in the JSON") for i in images if i not in seen]
    return kept, left_out


def _problems(annotation: PanopticAnnotation, categories: Mapping[int | str, Any]) -> Iterator[str]:
    """Yields what is wrong with the segments of an image; ids of categories become their own."""
    seen: set[int] = set()
    for segment in annotation.segments_info:
        category = find_id(segment.category_id, categories)
        if category is None:
            yield (
                f"segment {segment.id} has the category {segment.category_id}, which is not in "
                "the list of categories"
            )
        elif segment.id in seen:
            yield f"has two segments with the id {segment.id}"
        else:
            segment.category_id = category
        seen.add(segment.id)


@dataclass(frozen=True)
class SegmentLoader:
    """Makes a sample of a record: cuts its id PNG into segments."""

    class_ids: Mapping[int | str, int]

    def __call__(self, record: CocoRecord) -> Sample:
        path = record.label
        assert path is not None  # read gives every record its PNG
        segment_ids = read_segment_ids(path)
        check_size(segment_ids.shape, path=path, image=record.image)
        listed = {segment.id: segment for segment in record.annotations}
        painted = set(np.unique(segment_ids).tolist()) - {0}
        if different := sorted(painted ^ set(listed)):
            where = "PNG" if different[0] in painted else "JSON"
            raise DataError(f"{path}: segment {different[0]} is in the {where} only")
        semantic = np.full(segment_ids.shape, IGNORE, np.int32)
        instances = []
        for segment_id, segment in listed.items():
            class_id = self.class_ids[segment.category_id]
            mask = segment_ids == segment_id
            semantic[mask] = class_id
            instances.append(Instance(class_id, mask, is_crowd=bool(segment.iscrowd)))
        return Sample(record.id, record.image, semantic, tuple(instances))


def read_segment_ids(path: Path) -> np.ndarray:
    """Returns the segment ids of a PNG, (H, W) int32: R + 256 G + 65536 B whatever alpha says.

    Files of one channel hold the ids themselves.
    """
    stored = read_stored(path, what="id map")
    if stored.is_lossy:
        raise DataError(f"id map {path} is a JPEG, whose compression changes ids; save it as .png")
    colors = stored.colors()
    return stored.values.astype(np.int32) if colors is None else packed(colors)


def write_segment_ids(path: Path, segment_ids: np.ndarray) -> None:
    """Writes (H, W) segment ids 0..2^24 - 1 as a PNG of three channels."""
    channels = [segment_ids >> shift & 255 for shift in (0, 8, 16)]
    with atomic_write(path) as temporary:
        Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).save(temporary)


def write(
    path: Path | str,
    results: Iterable[tuple[str, Segmentation]],
    *,
    vocabulary: Vocabulary,
    category_ids: Sequence[int] | None = None,
    image_ids: Mapping[str, int | str] | None = None,
    image_names: Mapping[str, str] | None = None,
) -> Path:
    """Writes results in the panoptic layout: a JSON, and the PNGs in a folder of its stem.

    Args:
        path: the JSON file.
        results: (sample id, result) pairs over `vocabulary`, consumed one at a time.
        vocabulary, category_ids, image_ids, image_names: see `CocoDocument`; categories tell
            things from stuff. For COCO use `segtune.vocabulary.builtin.category_ids("coco_133")`.
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
    """Adds one image with its segments, for things and stuff, and writes its id PNG.

    Segments must not overlap; where they do, the earlier one keeps the pixels.
    """
    image_id = document.add_image(sample_id, result.size)
    segment_ids, segments = _painted(result, document.category_ids)
    name = f"{sample_id}.png"
    write_segment_ids(document.path.with_suffix("") / name, segment_ids)
    document.add_annotation({"image_id": image_id, "file_name": name, "segments_info": segments})


def _painted(
    result: Segmentation, category_ids: Sequence[int]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Returns the map of segment ids, from 1 on, and the JSON entries of the visible segments."""
    segment_ids = np.zeros(result.size, np.int32)
    for number, segment in reversed(list(enumerate(result.segments, start=1))):
        x1, y1, x2, y2 = segment.box_px
        segment_ids[y1:y2, x1:x2][segment.mask] = number
    entries = []
    for number, segment in enumerate(result.segments, start=1):
        mask = segment_ids == number
        if mask.any():
            entries.append(_entry(number, segment, mask, category_ids))
    return segment_ids, entries


def _entry(
    number: int, segment: Segment, mask: np.ndarray, category_ids: Sequence[int]
) -> dict[str, Any]:
    x1, y1, x2, y2 = Instance(segment.class_id, mask).box_px
    return {
        "id": number,
        "category_id": int(category_ids[segment.class_id]),
        "area": int(mask.sum()),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "iscrowd": 0,
    }
