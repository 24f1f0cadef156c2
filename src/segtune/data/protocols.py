"""A data set as a protocol wants it: the right classes of it, tagged seen and unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segtune.data.formats import looks_like, open_dataset
from segtune.errors import SegtuneError
from segtune.types import Dataset, Sample, Vocabulary
from segtune.vocabulary.protocols import Protocol, find_protocol


@dataclass
class _Tagged:
    """A dataset whose classes carry the tags of a zero-shot protocol."""

    dataset: Dataset
    vocabulary: Vocabulary
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[index]

    def sample_id(self, index: int) -> str:
        return self.dataset.sample_id(index)


def with_protocol(dataset: Dataset, protocol: str | Protocol) -> Dataset:
    """Returns the dataset with seen and unseen tags; its classes must be those of the protocol."""
    if isinstance(protocol, str):
        protocol = find_protocol(protocol)
    vocabulary = protocol.classes()
    if vocabulary.names != dataset.vocabulary.names:
        raise SegtuneError(
            f"protocol {protocol.name} has {len(vocabulary)} classes ({vocabulary.names[0]}, ...) "
            f"but {dataset.name} has {len(dataset.vocabulary)} ({dataset.vocabulary.names[0]}, "
            "...); choose the protocol of this data set"
        )
    return _Tagged(dataset, vocabulary, f"{dataset.name} ({protocol.name})", dataset.split)


def open_for(
    protocol: str | Protocol,
    spec: str | Path,
    *,
    layout: str | None = None,
    split: str | None = None,
    options: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> Dataset:
    """Returns the dataset of a protocol, with its classes, tagged.

    The layout of the protocol is taken where the files fit it, so that one folder may hold all the
    data sets of the benchmarks, and the labels of one data set may serve several protocols. Other
    layouts are opened as they are and must have the classes of the protocol.

    Args:
        spec, layout, split, options, skip_bad: see `open_dataset`.
    """
    if isinstance(protocol, str):
        protocol = find_protocol(protocol)
    layout = layout_for(protocol, spec, layout)
    vocabulary = protocol.classes() if layout == protocol.layout else None
    dataset = open_dataset(
        spec,
        layout=layout,
        split=split,
        vocabulary=vocabulary,
        options=options,
        skip_bad=skip_bad,
    )
    return with_protocol(dataset, protocol)


def layout_for(protocol: Protocol, spec: str | Path, layout: str | None) -> str | None:
    """Returns the layout to open data in: as asked, else that of the protocol if the files fit."""
    if layout is not None:
        return layout
    return protocol.layout if looks_like(spec, protocol.layout) else None
