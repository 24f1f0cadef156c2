"""The files that `segtune segment` writes: overlays, index maps, COCO instances, COCO panoptic.

DIR/overlays/NAME.png     photograph, colours, legend
DIR/labels/NAME.png       class ids, 255 (or 65535) where no class won
DIR/vocabulary.json       what the ids mean
DIR/instances.json        COCO annotations of the things, or of all that was pointed at
DIR/panoptic.json         COCO panoptic, with id maps in DIR/panoptic/NAME.png
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.cli.images import ImageFile, relative_names
from segtune.data.formats import coco_instances, coco_panoptic
from segtune.data.images import write_label_map
from segtune.errors import SegtuneError
from segtune.storage.files import atomic_write
from segtune.types import Segmentation, Task, Vocabulary
from segtune.viz.overlay import draw_overlay
from segtune.viz.palette import class_colors
from segtune.vocabulary.parse import write_vocabulary

DEFAULT_FORMATS: dict[Task, tuple[str, ...]] = {
    "semantic": ("overlay", "png"),
    "instance": ("overlay", "coco"),
    "panoptic": ("overlay", "panoptic"),
}
TASKS_OF_FORMAT: dict[str, tuple[Task, ...]] = {
    "overlay": ("semantic", "instance", "panoptic"),
    "png": ("semantic", "panoptic"),
    "coco": ("instance", "panoptic"),
    "panoptic": ("panoptic",),
}


SMALL_SIDE = 600
"""Overlays of images whose longer side is at most half of this are drawn larger."""


@dataclass(frozen=True)
class Answer:
    """One segmented image: its name, its pixels (H, W, 3) uint8 and the result."""

    name: str
    pixels: np.ndarray
    result: Segmentation


def choose_task(task: Task | None, formats: Sequence[str] | None) -> tuple[Task, tuple[str, ...]]:
    """Returns task and formats, where the one that was left out suits the other.

    Example:
        >>> choose_task(None, ["overlay", "coco"]), choose_task("panoptic", None)
        (('instance', ('overlay', 'coco')), ('panoptic', ('overlay', 'panoptic')))
    """
    if formats is None:
        task = task or "semantic"
        return task, DEFAULT_FORMATS[task]
    for name in formats:
        if task is not None and task not in TASKS_OF_FORMAT[name]:
            raise SegtuneError(
                f"--format {name} cannot hold the answers of --task {task}; "
                f"use --task {' or '.join(TASKS_OF_FORMAT[name])}, or another format"
            )
    # Panoptic answers fit every format, so there is always a task for all of them.
    suitable = [t for t in DEFAULT_FORMATS if all(t in TASKS_OF_FORMAT[f] for f in formats)]
    return task or suitable[0], tuple(formats)


def write_answers(
    answers: Iterable[Answer],
    images: Sequence[ImageFile],
    *,
    formats: Sequence[str],
    folder: Path,
    vocabulary: Vocabulary,
    things_only: bool = True,
) -> list[Path]:
    """Writes answers as they come, so that many images fit in memory; returns what was written.

    Args:
        answers: consumed once; those of `images` that could be segmented.
        images: all images, whose paths the COCO files refer to.
        formats: keys of `TASKS_OF_FORMAT`.
        folder: created where missing.
        vocabulary: of the answers.
        things_only: leave stuff out of the COCO instances.
    """
    colors = [(int(r), int(g), int(b)) for r, g, b in class_colors(vocabulary)]
    coloured = replace(
        vocabulary,
        concepts=tuple(replace(c, color=rgb) for c, rgb in zip(vocabulary, colors, strict=True)),
    )
    answers = iter(answers)
    first = list(islice(answers, 1))  # before anything is written, which bad input should not be
    write_vocabulary(folder / "vocabulary.json", coloured)
    written = [folder / "vocabulary.json"]
    results: Iterable[tuple[str, Segmentation]]
    results = _written_pictures(chain(first, answers), formats, folder, vocabulary, colors)
    if {"coco", "panoptic"} <= set(formats):
        results = list(results)  # read twice
    names = relative_names(images)
    ids: dict[str, int | str] = {image.name: i for i, image in enumerate(images, start=1)}
    if "coco" in formats:
        path = folder / "instances.json"
        things = ((name, _things(result) if things_only else result) for name, result in results)
        coco_instances.write_annotations(
            path, things, vocabulary=coloured, image_ids=ids, image_names=names
        )
        written.append(path)
    if "panoptic" in formats:
        path = folder / "panoptic.json"
        coco_panoptic.write(path, results, vocabulary=coloured, image_ids=ids, image_names=names)
        written += [path, path.with_suffix("")]
    for _ in results:  # where no JSON file has taken the pictures out of the stream
        pass
    return written + [folder / _FOLDERS[name] for name in formats if name in _FOLDERS]


_FOLDERS = {"overlay": "overlays", "png": "labels"}


def _written_pictures(
    answers: Iterable[Answer],
    formats: Sequence[str],
    folder: Path,
    vocabulary: Vocabulary,
    colors: Sequence[tuple[int, int, int]],
) -> Iterator[tuple[str, Segmentation]]:
    """Yields (name, result) of every answer after its own pictures are written."""
    for answer in answers:
        if "overlay" in formats:
            large = enlarged(answer)
            picture = draw_overlay(large.pixels, large.result, names=True)
            save_picture(folder / "overlays" / f"{answer.name}.png", picture)
        if "png" in formats and answer.result.semantic is not None:
            write_label_map(
                folder / "labels" / f"{answer.name}.png",
                answer.result.semantic,
                num_classes=len(vocabulary),
                colors=colors,
            )
        yield answer.name, answer.result


def enlarged(answer: Answer) -> Answer:
    """Returns the answer of a small image some times larger, so that names have room."""
    height, width = answer.result.size
    times = SMALL_SIDE // max(height, width)
    if times < 2:
        return answer
    size = (height * times, width * times)
    picture = Image.fromarray(answer.pixels).resize(size[::-1], Image.Resampling.BICUBIC)

    def repeated(labels: np.ndarray) -> np.ndarray:
        return labels.repeat(times, axis=0).repeat(times, axis=1)

    segments = []
    for segment in answer.result.segments:
        x1, y1, x2, y2 = (times * side for side in segment.box_px)
        segments.append(replace(segment, box_px=(x1, y1, x2, y2), mask=repeated(segment.mask)))
    semantic = answer.result.semantic
    result = replace(
        answer.result,
        size=size,
        semantic=None if semantic is None else repeated(semantic),
        segments=tuple(segments),
    )
    return Answer(answer.name, np.asarray(picture), result)


def _things(result: Segmentation) -> Segmentation:
    concepts = result.vocabulary.concepts
    things = tuple(s for s in result.segments if concepts[s.class_id].kind == "thing")
    return replace(result, segments=things)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB as a PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)
