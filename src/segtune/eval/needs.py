"""What a task needs of the data, checked before a model is asked anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from segtune.data.readable import with_image
from segtune.data.regions import SAMPLES_TRIED, require_instances
from segtune.errors import DataError
from segtune.eval.judges import JudgeSpec, Need
from segtune.types import Dataset


def check_data(dataset: Dataset, task: JudgeSpec) -> None:
    """Raises where the data lacks something that the task needs.

    Raises:
        DataError: there are no images, or no label maps, objects or groups of classes.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.name} ({dataset.split}) has no images; nothing to evaluate")
    for need in task.needs:
        _CHECKS[need](dataset, f"task {task.name}")


def _label_maps(dataset: Dataset, what: str) -> None:
    tried = range(min(len(dataset), SAMPLES_TRIED))
    if all(sample.semantic is None for sample in with_image(dataset, tried)):
        raise DataError(
            f"{dataset.name} ({dataset.split}) has no label maps, which {what} needs; use task "
            "instance for objects, or a labelled split"
        )


def _objects(dataset: Dataset, what: str) -> None:
    require_instances(dataset, what=what)


def _objects_of_things(dataset: Dataset, what: str) -> None:
    if any(concept.kind == "thing" for concept in dataset.vocabulary):
        require_instances(dataset, what=what)


def _groups(dataset: Dataset, what: str) -> None:
    if all(concept.group is None for concept in dataset.vocabulary):
        raise DataError(
            f"the classes of {dataset.name} are in no groups such as seen and unseen, which {what} "
            "compares; add --protocol, give --vocab FILE.json with a group per class, or use task "
            "class-agnostic"
        )


_CHECKS: Mapping[Need, Callable[[Dataset, str], None]] = {
    "label maps": _label_maps,
    "objects": _objects,
    "objects of things": _objects_of_things,
    "groups": _groups,
}
