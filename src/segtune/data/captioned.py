"""Captions as data: records that have them, and captions for the samples of another dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.types import Dataset, Sample, Vocabulary

NO_CLASSES = Vocabulary.of("object", name="no classes")
"""The vocabulary of data that has captions only: its single word names nothing in particular."""


@dataclass(frozen=True)
class CaptionRecord(Record):
    """An image with its captions."""

    captions: tuple[str, ...] = ()


def load_captioned(record: CaptionRecord) -> Sample:
    """Returns the sample of a record: image and captions, no labels."""
    return Sample(record.id, record.image, captions=record.captions)


@dataclass
class Captioned:
    """A dataset whose samples get captions from elsewhere; those without any are left out.

    Attributes:
        dataset: with or without captions of its own, which are replaced.
        captions: sample id -> captions.
    """

    dataset: Dataset
    captions: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        self.name, self.split = self.dataset.name, self.dataset.split
        self.vocabulary = self.dataset.vocabulary
        ids = (self.dataset.sample_id(i) for i in range(len(self.dataset)))
        self.indices = [i for i, name in enumerate(ids) if name in self.captions]
        if not self.indices:
            raise DataError(
                f"none of the {len(self.captions)} captioned images is in {self.name} "
                f"({self.split}), whose first image is {self.dataset.sample_id(0)!r}; "
                "check the file of captions and the split"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[self.indices[index]]
        return replace(sample, captions=self.captions[sample.id])

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.dataset.sample_id(self.indices[index])


def captions_by_id(dataset: IndexedDataset[CaptionRecord]) -> dict[str, tuple[str, ...]]:
    """Returns sample id -> captions, without reading images."""
    return {record.id: record.captions for record in dataset.records}
