"""Settings of model folders from strangers: every number is checked before a model is built of it.

`config.json` and the files beside it say how large a model is. A folder of a few kilobytes must not
fill the memory, or build layers without end, so numbers have bounds by what they are called, and
what a model allocates while it is built has a bound by the size of its files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segtune.errors import WeightsError
from segtune.storage.json_files import read_settings

SETTINGS_FILES = (
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
MEANS, DEVIATIONS = re.compile(r"(^|_)mean$"), re.compile(r"(^|_)std$")
BOUNDS: tuple[tuple[re.Pattern[str], float, float], ...] = (
    (MEANS, -1e4, 1e4),
    (DEVIATIONS, 1e-6, 1e4),
    (re.compile(r"vocab_size$"), 1, 5e5),
    (re.compile(r"layers|depths?$|blocks$|stages$|num_scales$"), 0, 512),
    (re.compile(r"heads$|groups$|levels$|windows?$|window_size$|patch_size$|stride"), 0, 4096),
    (re.compile(r"(image|dense|crop|short|long|canvas|resolution).*"), 0, 16384),
    (
        re.compile(r"hidden|width|dim$|feedforward|intermediate|channels|embed|projection"),
        0,
        65536,
    ),
    (re.compile(r"queries|points|grid|context|positions|tokens"), 0, 65536),
    (re.compile(r""), -1e12, 1e12),
)
"""What a setting is called -> the least and the most that it can sensibly be; the first fits."""
TIMES_FILES, ROOM = 12, 2**29
"""A model may allocate this many times the bytes of its weights, and so many more."""


def check_settings(folder: Path) -> None:
    """Raises where a settings file of a model folder has a number that no model has.

    Raises:
        WeightsError: it does, and which.
    """
    for name in SETTINGS_FILES:
        if (folder / name).is_file():
            _check(read_settings(folder / name), "", folder / name, depth=0)


def _check(value: Any, key: str, file: Path, *, depth: int) -> None:
    if isinstance(value, dict):
        for name, entry in value.items():
            _check(entry, str(name), file, depth=depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _check(entry, key, file, depth=depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, key, file)


def _check_number(value: float, key: str, file: Path) -> None:
    least, most = next((low, high) for name, low, high in BOUNDS if name.search(key))
    if not (least <= value <= most and math.isfinite(value)):
        shown = str(value)[:20]
        raise WeightsError(
            f"{file}: {key or 'an entry'} is {shown}; expected {least:g} to {most:g}; copy the "
            "file again"
        )


@contextmanager
def bounded(folder: Path) -> Iterator[None]:
    """Refuses allocations inside the block that the weights in a folder do not explain.

    Raises:
        WeightsError: a model of its settings would be far larger than its files.
    """
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]
    limit = TIMES_FILES * sum(path.stat().st_size for path in files) + ROOM
    with _Budget(limit, folder):
        yield


class _Budget(TorchDispatchMode):
    """Counts what is newly allocated, before it is."""

    def __init__(self, limit: int, folder: Path) -> None:
        super().__init__()
        self.left, self.folder = limit, folder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        size = args[0] if args else None
        if isinstance(size, list | tuple | torch.Size) and all(isinstance(n, int) for n in size):
            self.left -= 4 * math.prod(size)
            if self.left < 0:
                raise WeightsError(
                    f"{self.folder}: its settings describe a model that is far larger than its "
                    "weights; copy the folder again"
                )
        return func(*args, **(kwargs or {}))
