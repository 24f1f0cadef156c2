"""The samples of a dataset that can be read, and which cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tqdm import tqdm

from segtune.data.checks.left_out import LeftOut
from segtune.data.samples import Subset
from segtune.errors import DataError, ImageError
from segtune.storage.memory import is_out_of_memory
from segtune.types import Dataset, Sample

NO_MEMORY = "there is not enough memory for it; make it smaller, or use a smaller --size or --crop"


def readable(dataset: Dataset) -> Dataset:
    """Returns the samples whose labels and image can be read; every one is tried.

    Raises:
        DataError: none can be.
    """
    good, bad = [], []
    for index in tqdm(range(len(dataset)), "looking for damage", disable=None):
        try:
            dataset[index].pixels()
        except (DataError, OSError) as error:
            bad.append(LeftOut(str(error), "damaged"))
        else:
            good.append(index)
    if not good:
        raise DataError(f"no sample of {dataset.name} can be read: {bad[0].name}")
    return dataset if not bad else Subset(dataset, good, tuple(bad))


def with_image(dataset: Dataset, indices: Iterable[int]) -> Iterator[Sample]:
    """Yields the samples at indices without those whose image cannot be read.

    Raises:
        DataError: labels are damaged.
    """
    for index in indices:
        try:
            yield dataset[index]
        except ImageError:
            continue


def is_bad_image(error: Exception) -> bool:
    """Whether an error is about one image, so that a long run leaves it out and goes on."""
    return isinstance(error, ImageError) or is_out_of_memory(error)


def what_is_bad(error: Exception, name: str) -> str:
    """Returns what to say of an image that was left out; `name` is used where the error has none.

    Example:
        >>> what_is_bad(MemoryError(), "a.png").partition(";")[0]
        'a.png: there is not enough memory for it'
    """
    return f"{name}: {NO_MEMORY}" if is_out_of_memory(error) else str(error)
