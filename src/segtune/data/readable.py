"""The samples of a dataset that can be read, and which cannot."""

from __future__ import annotations

from tqdm import tqdm

from segtune.data.left_out import LeftOut
from segtune.data.samples import Subset
from segtune.errors import DataError
from segtune.types import Dataset


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
