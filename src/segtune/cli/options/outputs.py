"""Which formats `segtune segment` writes, and how its COCO files call the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from segtune.cli.images import ImageFile, relative_names
from segtune.data.formats.coco.like import Ids
from segtune.errors import SegtuneError
from segtune.export.sinks import SINKS, ImageRef
from segtune.types import Task

TASKS: tuple[Task, ...] = get_args(Task)


def choose_task(task: Task | None, formats: Sequence[str] | None) -> tuple[Task, tuple[str, ...]]:
    """Returns task and formats, where the one that was left out suits the other.

    Example:
        >>> choose_task(None, ["overlay", "coco"]), choose_task("panoptic", None)
        (('instance', ('overlay', 'coco')), ('panoptic', ('overlay', 'panoptic')))
    """
    if formats is None:
        task = task or "semantic"
        return task, tuple(name for name, entry in SINKS.items() if task in entry.default_of)
    for name in formats:
        tasks = SINKS.find(name).tasks
        if task is not None and task not in tasks:
            raise SegtuneError(
                f"--format {name} cannot hold the answers of --task {task}; "
                f"use --task {' or '.join(tasks)}, or another format"
            )
    suitable = [t for t in TASKS if all(t in SINKS[name].tasks for name in formats)]
    if not suitable:
        raise SegtuneError(
            f"no task has answers for all of {', '.join(formats)}; write them one after the other"
        )
    return task or suitable[0], tuple(formats)


def image_refs(images: Sequence[ImageFile], like: Ids | None = None) -> dict[str, ImageRef]:
    """Returns name -> number and path, as annotation files refer to the images.

    Args:
        like: ids of the file that results are compared with.
    """
    if like is not None:
        known = like.of_images([image.path for image in images])
        return {i.name: ImageRef(*ref) for i, ref in zip(images, known, strict=True)}
    names = relative_names(images)
    return {
        image.name: ImageRef(number, names[image.name])
        for number, image in enumerate(images, start=1)
    }
