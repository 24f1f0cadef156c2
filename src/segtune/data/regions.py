"""The objects of a sample as a task wants them: things, or things with stuff regions.

Formats differ in what they list as instances: panoptic ones list stuff too, others keep it in the
semantic map only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segtune.errors import DataError
from segtune.types import IGNORE, Dataset, Instance, Sample, Task, Vocabulary

SAMPLES_TRIED = 100
"""Samples among which one with an instance must be, or the data counts as having none."""


def objects_for(task: Task, sample: Sample, vocabulary: Vocabulary) -> Sample:
    """Returns the sample with the instances that a task is about.

    Args:
        task: "instance" leaves stuff out; "panoptic" adds one region for every stuff class of the
            semantic map, of its pixels that belong to no instance; "semantic" changes nothing.
        sample: its clicks are dropped where the instances change.
        vocabulary: of the sample; says what is a thing.

    Example:
        >>> from segtune.types import Concept
        >>> words = Vocabulary((Concept("car"), Concept("road", kind="stuff")))
        >>> semantic = np.array([[0, 1, 1]], dtype=np.int32)
        >>> sample = Sample("a", np.zeros((1, 3, 3), np.uint8), semantic,
        ...                 (Instance(0, semantic == 0),))
        >>> [item.class_id for item in objects_for("panoptic", sample, words).instances]
        [0, 1]
    """
    if task == "semantic":
        return sample
    if task == "instance":
        kept = tuple(
            item
            for item in sample.instances
            if item.class_id == IGNORE or vocabulary.concepts[item.class_id].kind == "thing"
        )
    else:
        kept = (*sample.instances, *_unlisted_stuff(sample, vocabulary))
    if len(kept) == len(sample.instances):
        return sample
    return replace(sample, instances=kept, points=None)


def _unlisted_stuff(sample: Sample, vocabulary: Vocabulary) -> list[Instance]:
    """Returns one region per stuff class of the semantic map, outside of all instances."""
    if sample.semantic is None:
        return []
    rest = sample.semantic.copy()
    for item in sample.instances:
        rest[item.mask] = IGNORE
    return [
        Instance(class_id, rest == class_id)
        for class_id in np.unique(rest[rest != IGNORE]).tolist()
        if vocabulary.concepts[class_id].kind == "stuff"
    ]


def named_regions(sample: Sample, vocabulary: Vocabulary) -> tuple[Instance, ...]:
    """Returns the labelled regions of a sample: its objects and stuff, crowds left out.

    Where it lists no objects: one region per class of its map.
    """
    if sample.instances:
        listed = objects_for("panoptic", sample, vocabulary).instances
        return tuple(
            item
            for item in listed
            if item.class_id != IGNORE and not item.is_crowd and item.mask.any()
        )
    if sample.semantic is None:
        return ()
    ids = np.unique(sample.semantic[sample.semantic != IGNORE]).tolist()
    return tuple(Instance(class_id, sample.semantic == class_id) for class_id in ids)


def require_instances(dataset: Dataset, *, what: str) -> None:
    """Raises where a dataset lists no instances.

    Args:
        what: the option that needs them, for the message.

    Raises:
        DataError: none of the first `SAMPLES_TRIED` samples has one.
    """
    tried = range(min(len(dataset), SAMPLES_TRIED))
    if not any(dataset[index].instances for index in tried):
        raise DataError(
            f"{dataset.name} ({dataset.split}) has no instance masks, which {what} needs; use "
            "task semantic, or data with instances, such as COCO's or synthetic:base"
        )
