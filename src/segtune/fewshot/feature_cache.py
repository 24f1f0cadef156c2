"""Where the frozen features of a fit are kept: in memory, or on disk for the next fit.

A folder on disk belongs to one model, one way of preprocessing and one set of views, so whatever is
found there can be used as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from segtune.errors import WeightsError
from segtune.storage.files import atomic_write
from segtune.storage.weights import read_safetensors


class FeatureCache:
    """Named tensors of numbered views.

    Args:
        folder: one file per view; None keeps everything in memory.
        half: store float tensors as float16, half the size; they come back as float32.

    Example:
        >>> cache = FeatureCache()
        >>> cache.put(3, {"map": torch.ones(2)})
        >>> 3 in cache, cache.get(3)["map"].tolist()
        (True, [1.0, 1.0])
    """

    def __init__(self, folder: Path | None = None, *, half: bool = False) -> None:
        self.folder, self.half = folder, half
        self._kept: dict[int, dict[str, Tensor]] = {}

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:06d}.safetensors"

    def __contains__(self, number: int) -> bool:
        if self.folder is None:
            return number in self._kept
        return self._file(number).is_file() and self._read(number) is not None

    def _read(self, number: int) -> dict[str, Tensor] | None:
        """Returns a stored view; None where the file is damaged, which is then written again."""
        try:
            return read_safetensors(self._file(number))[0]
        except (WeightsError, OSError):
            return None

    def put(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Stores the tensors of a view."""
        stored = {
            name: (t.half() if self.half and t.is_floating_point() else t).contiguous().clone()
            for name, t in tensors.items()
        }
        if self.folder is None:
            self._kept[number] = stored
            return
        content = save({name: tensor.cpu() for name, tensor in stored.items()})
        with atomic_write(self._file(number)) as temporary:
            temporary.write_bytes(content)

    def get(self, number: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Returns the tensors of a view; KeyError where there are none."""
        stored = self._kept.get(number) if self.folder is None else self._read(number)
        if stored is None:
            raise KeyError(number)
        return {
            name: t.to(device, torch.float32 if t.dtype == torch.float16 else t.dtype)
            for name, t in stored.items()
        }


def cache_key(**parts: Any) -> str:
    """Returns 20 hex digits of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
