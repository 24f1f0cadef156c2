"""The tensors of a TorchScript archive, such as OpenAI's own CLIP files, without its code.

torch's own reader runs what an archive defines: a `__setstate__` in it may write any file. Here
`data.pkl` is read as data (`segtune.storage.weights.pickles`), and of the program text only which
attributes of a class are parameters and buffers. A class that packs itself by code is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from segtune.errors import WeightsError
from segtune.storage.weights.archives import Archive
from segtune.storage.weights.pickles import MAX_PICKLE, PickleReader, ScriptObject
from segtune.storage.weights.tensor_table import TensorTable, View

MAX_TENSORS = 100_000
MAX_DEPTH = 64
"""Of modules in modules."""
MAX_TEXT = 64 << 20
"""Bytes of one file of the program text."""
MARK = "constants.pkl"
"""The entry that tells a TorchScript archive from what `torch.save` writes."""


def is_torchscript(names: tuple[str, ...]) -> bool:
    """Returns whether an archive with these entries would be handed to TorchScript by torch."""
    return any(name.lower().endswith(f"/{MARK}") for name in names)


def read_torchscript(archive: Archive, root: str) -> dict[str, Tensor]:
    """Returns the parameters and buffers of the module in an archive, under their full names.

    Args:
        root: the folder inside the archive that everything lies in.

    Raises:
        WeightsError: damaged, or classes that pack themselves by code.
    """
    table = TensorTable(archive.num_bytes, is_script=True)
    content = archive.read(f"{root}/data.pkl", limit=MAX_PICKLE)
    module = PickleReader(content, table.meaning, table.stored).read()
    if not isinstance(module, ScriptObject):
        raise WeightsError("it holds no module")
    views: dict[str, View] = {}
    _collect(module, _classes(archive, root), views)
    blocks: dict[str, Tensor] = {}
    for view in views.values():
        storage = view.storage
        if storage.key not in blocks:
            blocks[storage.key] = _block(archive, root, storage.key, storage.num_bytes)
    return {name: view.of(blocks[view.storage.key]) for name, view in views.items()}


def _block(archive: Archive, root: str, key: str, num_bytes: int) -> Tensor:
    """Returns the bytes of a storage, (num_bytes,) uint8."""
    for folder in ("data", "constants"):
        found = archive.num_unpacked(name := f"{root}/{folder}/{key}")
        if found == num_bytes:
            return archive.block(name)
    raise WeightsError(f"its storage {key[:40]!a} is missing or of another length")


@dataclass(frozen=True)
class _Class:
    """What the program text says about a class of modules."""

    tensors: frozenset[str]
    packs_itself: bool


_CLASS = re.compile(r"^class (\w+)\(Module\):\n((?:[ \t].*\n|\n)*)", re.MULTILINE)
_TENSORS = re.compile(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", re.MULTILINE)
_PACKS = re.compile(r"^  def __(?:set|get)state__\(", re.MULTILINE)


def _classes(archive: Archive, root: str) -> dict[str, _Class]:
    """Returns the classes of modules in the program text, by qualified name."""
    start = f"{root}/code/"
    classes = {}
    for entry in archive.names:
        if not (entry.startswith(start) and entry.endswith(".py")):
            continue
        text = archive.read(entry, limit=MAX_TEXT).decode("utf-8", "replace")
        package = entry[len(start) : -len(".py")].replace("/", ".")
        for name, body in _CLASS.findall(text if text.endswith("\n") else f"{text}\n"):
            listed = " ".join(_TENSORS.findall(body))
            classes[f"{package}.{name}"] = _Class(
                frozenset(re.findall(r'"([^"]*)"', listed)), _PACKS.search(body) is not None
            )
    return classes


def _collect(
    module: ScriptObject,
    classes: dict[str, _Class],
    views: dict[str, View],
    prefix: str = "",
    depth: int = 0,
) -> None:
    """Puts the parameters and buffers of a module and of those inside it into `views`."""
    known = classes.get(module.name)
    if known is None or known.packs_itself or not isinstance(module.state, dict):
        raise WeightsError(
            f"its class {module.name[-60:]!a} can only be unpacked by code, and code in files "
            "is never run; ask for a file of the state dict alone, best as .safetensors"
        )
    if depth > MAX_DEPTH or len(views) > MAX_TENSORS:
        raise WeightsError("its modules are nested too deeply or too often")
    for name, value in module.state.items():
        if isinstance(value, View) and name in known.tensors:
            views[f"{prefix}{name}"] = value
        elif isinstance(value, ScriptObject) and value.name in classes:
            _collect(value, classes, views, f"{prefix}{name}.", depth + 1)
