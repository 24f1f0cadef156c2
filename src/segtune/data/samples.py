"""Datasets that are an index of files: only the list is in memory, samples are read on demand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from segtune.data.checks.left_out import LeftOut
from segtune.data.labels import ValueMap, read_semantic
from segtune.errors import DataError
from segtune.types import IGNORE, Dataset, Sample, Segment, Segmentation, Vocabulary

logger = logging.getLogger(__name__)

RecordT = TypeVar("RecordT", bound="Record")


@dataclass(frozen=True)
class Record:
    """Where one sample lies: its id, its image and, where there is one, its label file."""

    id: str
    image: Path
    label: Path | None = None


@dataclass
class IndexedDataset(Generic[RecordT]):
    """A dataset of file records and a function that reads one of them.

    Attributes:
        name: what tables call it.
        split: "train", "val", ...; "all" where the data is not split.
        vocabulary: what class ids mean.
        records: one per sample, with distinct ids.
        load: reads a record; picklable, so that worker processes can have the dataset.
        left_out: what the source has and the records do not, from `Found`.
    """

    name: str
    split: str
    vocabulary: Vocabulary
    records: Sequence[RecordT]
    load: Callable[[RecordT], Sample]

    def __post_init__(self) -> None:
        self.left_out: tuple[LeftOut, ...] = getattr(self.records, "left_out", ())
        if not self.records:
            raise DataError(f"{self.name} has no images in the split {self.split!r}")
        seen: set[str] = set()
        for record in self.records:
            if record.id in seen:
                raise DataError(f"{self.name} has two samples named {record.id!r}; rename one")
            seen.add(record.id)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        return self.load(self.records[index])

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.records[index].id


@dataclass(frozen=True)
class SemanticLoader:
    """Reads a record with one index map per image."""

    values: ValueMap

    def __call__(self, record: Record) -> Sample:
        semantic = None
        if record.label is not None:
            semantic = read_semantic(record.label, image=record.image, values=self.values)
        return Sample(record.id, record.image, semantic)


@dataclass
class Subset:
    """The samples of a dataset at the given indices, in that order.

    Attributes:
        left_out: those that are not among them for a reason that is worth telling.
    """

    dataset: Dataset
    indices: Sequence[int]
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        self.name = self.dataset.name
        self.split = self.dataset.split
        self.vocabulary = self.dataset.vocabulary

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.dataset.sample_id(self.indices[index])


@dataclass
class SomeClasses:
    """A dataset of which only some classes are annotated; the pixels of the others are unlabelled.

    Attributes:
        dataset: labels are in its class ids.
        class_ids: the classes that stay; their places here are the new ids.
    """

    dataset: Dataset
    class_ids: Sequence[int]

    def __post_init__(self) -> None:
        self.name = self.dataset.name
        self.split = self.dataset.split
        self.vocabulary = self.dataset.vocabulary.subset(list(self.class_ids))
        self._new = np.full(len(self.dataset.vocabulary) + 1, IGNORE, np.int32)
        self._new[list(self.class_ids)] = np.arange(len(self.class_ids))  # the last is for IGNORE

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        semantic = None if sample.semantic is None else self._new[sample.semantic]
        renamed = [replace(i, class_id=int(self._new[i.class_id])) for i in sample.instances]
        instances = tuple(i for i in renamed if i.class_id != IGNORE)
        absent = None if sample.absent_ids is None else self._renamed(sample.absent_ids)
        return replace(
            sample,
            semantic=semantic,
            instances=instances,
            points=None,
            absent_ids=absent,
            not_exhaustive_ids=self._renamed(sample.not_exhaustive_ids),
        )

    def _renamed(self, class_ids: Sequence[int]) -> tuple[int, ...]:
        """Returns the new ids of those classes that stay."""
        new = self._new[list(class_ids)].tolist()
        return tuple(class_id for class_id in new if class_id != IGNORE)

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.dataset.sample_id(index)


def as_segmentation(
    sample: Sample, vocabulary: Vocabulary, *, source: dict[str, Any] | None = None
) -> Segmentation:
    """Returns the ground truth of a sample as a result, which every writer in `data/formats` takes.

    Crowd regions and unnamed objects have no place in a result and are left out.
    """
    segments = []
    for instance in sample.instances:
        if instance.is_crowd or instance.class_id == IGNORE or not instance.mask.any():
            continue
        x1, y1, x2, y2 = instance.box_px
        crop = np.ascontiguousarray(instance.mask[y1:y2, x1:x2])
        segments.append(Segment(instance.class_id, 1.0, (x1, y1, x2, y2), crop))
    if sample.semantic is not None:
        height, width = sample.semantic.shape
    else:
        height, width = sample.pixels().shape[:2]
    return Segmentation((height, width), vocabulary, sample.semantic, tuple(segments), source or {})
