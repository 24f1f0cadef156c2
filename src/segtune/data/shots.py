"""K-shot sampling: which training images a few-shot run may see.

Both ways are deterministic by seed and nested: the 4-shot set lies inside the 16-shot set of the
same seed, so that curves over shots differ by added images only.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtune.errors import SegtuneError
from segtune.storage.arrays import read_npy
from segtune.storage.files import atomic_write
from segtune.types import IGNORE, Dataset, Sample

logger = logging.getLogger(__name__)

MAX_NAMED = 10
"""Classes that a message names; `shortfall` has all of them."""


def by_image(dataset: Dataset, shots: int, seed: int) -> tuple[int, ...]:
    """Returns the indices of `shots` images, drawn without replacement.

    Example:
        >>> from segtune.data.formats import open_dataset
        >>> dataset = open_dataset("synthetic:base?length=20")
        >>> by_image(dataset, 4, seed=0) == by_image(dataset, 16, seed=0)[:4]
        True
    """
    _check(shots)
    if shots > len(dataset):
        raise SegtuneError(
            f"{shots} shots were asked for, but the {dataset.split} split of {dataset.name} has "
            f"{len(dataset)} images; use --shots {len(dataset)} or fewer"
        )
    return tuple(_order(dataset, seed)[:shots])


def by_class(
    dataset: Dataset, shots: int, seed: int, *, presence: np.ndarray | None = None
) -> tuple[int, ...]:
    """Returns the indices of a small set in which every class occurs in at least `shots` images.

    In round k, each class that so far occurs in fewer than k images, rarest class first, adds the
    next image that shows it. A class with fewer images than `shots` contributes all of them; the
    log names the first of such classes, and `shortfall` lists them all.

    Args:
        dataset: labelled samples.
        shots: images per class.
        seed: of the order in which images are considered.
        presence: (N, K) bool of `class_presence`; None looks at all labels now.
    """
    _check(shots)
    presence = class_presence(dataset) if presence is None else presence
    order = _order(dataset, seed)
    queues = [[i for i in order if presence[i, c]] for c in range(presence.shape[1])]
    rarest_first = np.argsort(presence.sum(0), kind="stable")
    counts = np.zeros(presence.shape[1], dtype=int)
    chosen: dict[int, None] = {}
    for round_number in range(1, shots + 1):
        for c in rarest_first:
            if counts[c] >= round_number:
                continue
            index = next((i for i in queues[c] if i not in chosen), None)
            if index is not None:
                chosen[index] = None
                counts += presence[index]
    if short := shortfall(dataset, presence, shots):
        words = ", ".join(f"{name} ({count})" for name, count in list(short.items())[:MAX_NAMED])
        words += f" and {len(short) - MAX_NAMED} more" if len(short) > MAX_NAMED else ""
        logger.warning("fewer than %d images show: %s", shots, words)
    if not chosen:
        raise SegtuneError(f"no image of {dataset.name} ({dataset.split}) has a labelled class")
    return tuple(chosen)


def shortfall(dataset: Dataset, presence: np.ndarray, shots: int) -> dict[str, int]:
    """Returns class name -> number of images, for classes that fewer than `shots` images show."""
    counts = presence.sum(0).tolist()
    names = dataset.vocabulary.names
    return {name: n for name, n in zip(names, counts, strict=True) if n < shots}


def class_presence(dataset: Dataset, *, cache: Path | None = None) -> np.ndarray:
    """Returns which sample shows which class, (N, K) bool, by reading all labels once.

    Args:
        dataset: labelled samples.
        cache: .npy file that is read where it fits this dataset, and written otherwise; the file
            name gets a fingerprint of the sample ids and class names.
    """
    if cache is not None:
        cache = cache.with_name(f"{cache.stem}.{_fingerprint(dataset)}.npy")
        if cache.is_file():
            return read_npy(cache)
    from tqdm import tqdm

    presence = np.zeros((len(dataset), len(dataset.vocabulary)), dtype=bool)
    indices = tqdm(range(len(dataset)), "looking for classes", delay=2, disable=None, leave=False)
    for i in indices:
        presence[i, classes_in(dataset[i])] = True
    if cache is not None:
        with atomic_write(cache) as temporary:
            np.save(temporary, presence)
    return presence


def classes_in(sample: Sample) -> list[int]:
    """Returns the class ids that the labels of a sample contain, sorted."""
    ids = {instance.class_id for instance in sample.instances}
    if sample.semantic is not None:
        ids |= set(np.unique(sample.semantic).tolist())
    return sorted(ids - {IGNORE})


def _check(shots: int) -> None:
    if shots < 1:
        raise SegtuneError(f"shots is {shots}; give 1 or more")


def _order(dataset: Dataset, seed: int) -> Sequence[int]:
    return np.random.default_rng(seed).permutation(len(dataset)).tolist()


def _fingerprint(dataset: Dataset) -> str:
    ids = (dataset.sample_id(i) for i in range(len(dataset)))
    text = "\n".join([dataset.name, dataset.split, *dataset.vocabulary.names, "", *ids])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
