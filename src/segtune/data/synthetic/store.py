"""Scenes rendered once and kept on disk, memory-mapped: for training that looks at them often.

Drawing a scene costs more than a training step of the bundled models. `StoredScenes` holds what a
`SyntheticDataset` would render, pixel for pixel, and gives the same samples.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from loky import ProcessPoolExecutor
from tqdm import tqdm

from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.storage.arrays import read_npy
from segtune.storage.files import cache_dir
from segtune.types import Instance, Sample

CHUNK = 100
"""Scenes that one job renders."""
ARRAYS = ("images", "semantic", "instances")


class StoredScenes:
    """A synthetic dataset whose scenes come from disk; follows the `Dataset` protocol.

    Args:
        dataset: what is stored; rendered by all cores where the folder does not hold it yet.
        folder: where stores live; the cache of segtune where None. One subfolder per dataset.
        progress: show a bar while rendering.

    Example:
        >>> import tempfile
        >>> dataset = SyntheticDataset("base", "val", size=(64, 64), length=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     stored = StoredScenes(dataset, Path(folder))
        ...     bool((stored[1].semantic == dataset[1].semantic).all())
        True
    """

    def __init__(
        self, dataset: SyntheticDataset, folder: Path | None = None, *, progress: bool = True
    ) -> None:
        self.dataset = dataset
        self.name, self.split, self.vocabulary = dataset.name, dataset.split, dataset.vocabulary
        self.folder = (folder or cache_dir() / "scenes") / f"{dataset.world.name}-{_key(dataset)}"
        if not self.folder.is_dir():
            _render(dataset, self.folder, progress=progress)
        self._arrays = {name: read_npy(self._file(name), memory_map=True) for name in ARRAYS}
        notes = (self.folder / "notes.jsonl").read_text(encoding="utf-8")
        self._notes = [json.loads(line) for line in notes.splitlines()]

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def __len__(self) -> int:
        return len(self.dataset)

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        return self.dataset.sample_id(index)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self.name} {self.split}, which has {len(self)}")
        notes = self._notes[index]
        numbers = np.asarray(self._arrays["instances"][index])
        return Sample(
            id=self.sample_id(index),
            image=np.array(self._arrays["images"][index]),
            semantic=self._arrays["semantic"][index].astype(np.int32),
            instances=tuple(
                Instance(class_id, mask=numbers == number)
                for number, class_id in enumerate(notes["class_ids"], start=1)
            ),
            captions=tuple(notes["captions"]),
            points=np.array(notes["points"], np.float32).reshape(-1, 2),
            absent_ids=tuple(notes["absent_ids"]) if "absent_ids" in notes else None,
            not_exhaustive_ids=tuple(notes.get("not_exhaustive_ids", ())),
        )


def _key(dataset: SyntheticDataset) -> str:
    """Returns a hash of the settings and of two renders, which change when the drawing does."""
    settings = [dataset.split, dataset.size, dataset.length, dataset.seed, dataset.reveal]
    settings += [dataset.stuff_regions, asdict(dataset.caption_style), dataset.world.name]
    if dataset.num_captions != 1:
        settings.append(dataset.num_captions)
    if dataset.image_lists:
        settings.append("lists")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for index in range(min(2, len(dataset))):
        digest.update(dataset.scene(index).image.tobytes())
    return digest.hexdigest()[:12]


def _render(dataset: SyntheticDataset, folder: Path, *, progress: bool) -> None:
    """Renders into a temporary folder and renames it, so that a store is whole or not there."""
    temporary = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    height, width = dataset.size
    shapes = {
        "images": ((len(dataset), height, width, 3), np.uint8),
        "semantic": ((len(dataset), height, width), np.int16),
        "instances": ((len(dataset), height, width), np.uint8),
    }
    maps = {
        name: np.lib.format.open_memmap(temporary / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    starts = range(0, len(dataset), CHUNK)
    jobs = [(dataset, start, min(start + CHUNK, len(dataset))) for start in starts]
    try:
        with (temporary / "notes.jsonl").open("w", encoding="utf-8") as notes:
            for (_, start, stop), (arrays, lines) in zip(
                jobs, _results(jobs, progress=progress), strict=True
            ):
                for name, array in zip(ARRAYS, arrays, strict=True):
                    maps[name][start:stop] = array
                notes.writelines(line + "\n" for line in lines)
        for array in maps.values():
            array.flush()
        try:
            temporary.replace(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


Job = tuple[SyntheticDataset, int, int]
Chunk = tuple[tuple[np.ndarray, ...], list[str]]


def _results(jobs: Sequence[Job], *, progress: bool) -> Iterator[Chunk]:
    """Yields the chunks in order; one core needs no second process."""
    bar = tqdm(jobs, "render", unit_scale=CHUNK, disable=None if progress else True, delay=2)
    if len(jobs) == 1 or (os.cpu_count() or 1) == 1:
        yield from map(_render_chunk, bar)
        return
    # torch's threads do not survive a fork; spawned workers would run the caller's script again.
    with ProcessPoolExecutor() as executor:
        for result, _ in zip(executor.map(_render_chunk, jobs), bar, strict=True):
            yield result


def _render_chunk(job: Job) -> Chunk:
    dataset, start, stop = job
    images, semantic, instances, notes = [], [], [], []
    for index in range(start, stop):
        sample = dataset[index]
        assert sample.semantic is not None
        assert sample.points is not None
        numbers = np.zeros(sample.semantic.shape, np.uint8)  # instances do not overlap
        for number, instance in enumerate(sample.instances, start=1):
            numbers[instance.mask] = number
        images.append(sample.pixels())
        semantic.append(sample.semantic.astype(np.int16))
        instances.append(numbers)
        note = {
            "class_ids": [instance.class_id for instance in sample.instances],
            "captions": sample.captions,
            "points": sample.points.tolist(),
        }
        if sample.absent_ids is not None:
            note["absent_ids"] = sample.absent_ids
            note["not_exhaustive_ids"] = sample.not_exhaustive_ids
        notes.append(json.dumps(note))
    return (np.stack(images), np.stack(semantic), np.stack(instances)), notes
