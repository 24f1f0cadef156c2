"""The tensors that a torch checkpoint describes, checked before a byte of them is read.

A checkpoint lists tensors as views: a storage, an offset, a shape, strides. Nothing makes such a
list true, so each view must lie inside its storage and may not be larger than it, and all of them
together may not be much larger than the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segtune.errors import WeightsError
from segtune.storage.weights.pickles import Function, ScriptClass, damaged, put

DTYPES: Mapping[str, torch.dtype] = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""Of `torch.FloatStorage` and the like."""
MAX_DIMENSIONS = 64
"""torch has no tensors of more."""
COPIES = 4
"""How often one storage may be shown by tensors, on average: tied weights show it twice."""
SMALL = 64 << 20
"""Bytes that are never too many."""


@dataclass(frozen=True)
class Storage:
    """One block of numbers in a file."""

    key: str
    dtype: torch.dtype
    num_bytes: int


@dataclass(frozen=True)
class View:
    """One tensor of a file, not read yet; offset and strides count numbers, not bytes."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, block: Tensor) -> Tensor:
        """Returns the tensor, as a view of the bytes of its storage.

        Args:
            block: (num_bytes,) uint8.
        """
        numbers = block != 0 if self.dtype is torch.bool else block.view(self.dtype)
        return torch.as_strided(numbers, self.shape, self.stride, self.offset)


class TensorTable:
    """What the names and persistent ids in the pickle of a checkpoint mean.

    Args:
        file_bytes: length of the file.
        is_script: a TorchScript archive, which has objects of its own classes.

    Attributes:
        storages: by key, as the pickle describes them; whether the file has them is checked by
            the reader of its container.
    """

    def __init__(self, file_bytes: int, *, is_script: bool = False) -> None:
        self.storages: dict[str, Storage] = {}
        self._left = COPIES * file_bytes + SMALL
        self._is_script = is_script
        self._meanings = {
            **{f"torch.{name}Storage": dtype for name, dtype in DTYPES.items()},
            **_TYPES,
            "torch.storage.UntypedStorage": torch.uint8,
            "torch._utils._rebuild_tensor": Function(self._view),
            "torch._utils._rebuild_tensor_v2": Function(self._view),
            "torch._utils._rebuild_tensor_v3": Function(self._retyped_view),
            **(_SCRIPT_VALUES if is_script else _PLAIN_VALUES),
        }

    def meaning(self, name: str) -> Any:
        """Returns what a name stands for; see `PickleReader.meaning`."""
        if name in self._meanings:
            return self._meanings[name]
        if self._is_script and name.startswith("__torch__."):
            return ScriptClass(name)
        raise WeightsError(
            f"it holds more than tensors and plain values ({name[:80]!a}), and code in files "
            "is never run; ask for a file of the state dict alone, best as .safetensors"
        )

    def stored(self, persistent_id: Any) -> Storage:
        """Returns the storage of a persistent id ("storage", dtype, key, device, length, ...)."""
        kind, dtype, key, _, length, *views = persistent_id
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(views):
            raise damaged()
        if not isinstance(key, str) or not _is_count(length):
            raise damaged()
        storage = Storage(key, dtype, length * dtype.itemsize)
        if self.storages.setdefault(key, storage) != storage:
            raise damaged()
        return storage

    def _view(
        self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any, dtype: Any = None
    ) -> View:
        """Returns the view for the arguments of torch's `_rebuild_tensor` and its successors."""
        sizes = (offset, *shape, *stride)
        if not isinstance(storage, Storage) or not all(_is_count(size) for size in sizes):
            raise damaged()
        if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
            raise damaged()
        view = View(storage, dtype or storage.dtype, offset, tuple(shape), tuple(stride))
        available, rest = divmod(storage.num_bytes, view.dtype.itemsize)
        numel = math.prod(view.shape)
        steps = zip(view.shape, view.stride, strict=True)
        end = offset + (sum((size - 1) * step for size, step in steps) + 1 if numel else 0)
        if numel > available or end > available or max(sizes) >= 1 << 62 or rest:
            raise WeightsError(
                f"a tensor of shape {_shown(view.shape)} does not fit into its {available} numbers"
            )
        self._left -= numel * view.dtype.itemsize
        if self._left < 0:
            raise WeightsError("its tensors unpack to far more than the file holds")
        return view

    def _retyped_view(
        self,
        storage: Any,
        offset: Any,
        shape: Any,
        stride: Any,
        _: Any,
        __: Any,
        dtype: Any,
        *___: Any,
    ) -> View:
        if not isinstance(dtype, torch.dtype):
            raise damaged()
        return self._view(storage, offset, shape, stride, dtype=dtype)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _shown(shape: tuple[int, ...]) -> str:
    text = "x".join(str(size)[:20] for size in shape[:8])
    return text + ("..." if len(shape) > 8 else "")


def _parameter(view: Any, *_: Any) -> View:
    if not isinstance(view, View):
        raise damaged()
    return view


def _mapping(entries: Any = ()) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key, value in entries.items() if isinstance(entries, dict) else entries:
        put(mapping, key, value)
    return mapping


_TYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
"""`torch.uint16` and the like, by name."""

_PLAIN_VALUES: Mapping[str, Any] = {
    "torch._utils._rebuild_parameter": Function(_parameter),
    "torch.Size": Function(tuple),
    "torch.device": Function(lambda *names: names),
    "collections.OrderedDict": Function(_mapping),
    "collections.Counter": Function(_mapping),
    "_codecs.encode": Function(lambda text, encoding: text.encode("latin-1")),
}
"""Further names in files of `torch.save`; torch's weights-only loader knows all of them."""

_SCRIPT_VALUES: Mapping[str, Any] = {
    "collections.OrderedDict": Function(_mapping),
    "torch.device": Function(lambda *names: names),
    **{
        f"torch.jit._pickle.build_{kind}list": Function(lambda values: values)
        for kind in ("int", "double", "bool", "tensor")
    },
    "torch.jit._pickle.restore_type_tag": Function(lambda value, type_name: value),
}
"""Further names in TorchScript archives."""
