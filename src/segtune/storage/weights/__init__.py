"""The only door for weights: every tensor that comes from a file comes through here.

Nothing in a file is run. Before a file is read, its listing is checked against its length: what
would unpack to far more, or describes tensors that are not in it, is refused.

| file | checked by | read by |
|---|---|---|
| `.safetensors` | `safetensors_files` | safetensors |
| TorchScript archive (OpenAI's `.pt`) | `torchscript` | `torchscript`, tensors only |
| `torch.save`, zip or stream | `torch_files` | torch's weights-only loader |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.errors import SegtuneError, WeightsError
from segtune.storage.weights.archives import Archive
from segtune.storage.weights.safetensors_files import read_header
from segtune.storage.weights.state_dicts import check_finite, without_wrapper
from segtune.storage.weights.torch_files import check_archive, check_stream, root_folder
from segtune.storage.weights.torchscript import is_torchscript, read_torchscript

FOREIGN = (
    (b"", "it is empty; copy or download it again"),
    (b"version https://git-lfs", "it is a Git LFS pointer, not the weights; type git lfs pull"),
    (b"<", "it is a web page, not weights; download the file itself"),
    (b"{", "it is JSON, not weights"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it first"),
    (b"\x89HDF", "it is an HDF5 file, which segtune does not read"),
)
"""First bytes -> what is wrong; the first row stands for a file without any."""


def load_tokenizer(path: str | Path) -> Any | None:
    """Returns the tokenizer in a folder or under a hub name; None where a folder has none."""
    from transformers import CLIPTokenizer

    names = ("tokenizer.json", "vocab.json", "merges.txt")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in names):
        return None
    return CLIPTokenizer.from_pretrained(str(path))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint file; a "state_dict" or "model" entry is unwrapped.

    A prefix that all keys share, such as "module.", is taken off.

    Raises:
        FileNotFoundError, WeightsError: missing, damaged, not a dictionary of tensors, or with NaN
            or infinity in them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a .safetensors, .pt or .bin file")
    if path.suffix == ".safetensors":
        return _sound(read_safetensors(path)[0], path)
    state = read_saved(path)
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a state dict")
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    tensors = {key: v for key, v in state.items() if isinstance(key, str) and isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; expected a state dict")
    return _sound(tensors, path)


def _sound(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint under bare keys; all of them must be finite."""
    check_finite(tensors, path)
    return without_wrapper(tensors)


def read_saved(path: Path, *, map_location: torch.device | str = "cpu") -> Any:
    """Returns what `torch.save` wrote: plain values and tensors; a state dict for TorchScript.

    Raises:
        OSError: it cannot be opened.
        WeightsError: damaged, unsafe, or another kind of file.
    """
    with path.open("rb") as file:
        head = file.read(64)
    with _named(path):
        if head.startswith(b"PK\x03\x04"):
            with Archive(path) as archive:
                root = root_folder(archive)
                if is_torchscript(archive.names):
                    return read_torchscript(archive, root)
                check_archive(archive, root)
        elif head.startswith(b"\x80\x02"):
            check_stream(path)
        else:
            raise WeightsError(_foreign(head))
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except OSError:
            raise
        except Exception:  # its advice is to load the file without any check
            raise WeightsError("torch cannot read it; save its state dict again") from None


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns the tensors of a safetensors file, and its metadata.

    Raises:
        OSError: it cannot be opened.
        WeightsError: damaged, or another kind of file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    metadata = check_safetensors(path)
    with _named(path):
        try:
            return load_file(path), metadata
        except (SafetensorError, LookupError, RuntimeError, TypeError, ValueError):
            raise WeightsError("safetensors cannot read it; copy it again") from None


def check_safetensors(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file; raises `WeightsError` where it is not sound."""
    with _named(path):
        return read_header(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the path before the reasons of the readers."""
    try:
        yield
    except SegtuneError as error:
        raise WeightsError(f"{path} is damaged or not a checkpoint: {error}") from None


def _foreign(head: bytes) -> str:
    for start, reason in FOREIGN:
        if head.startswith(start) and (start or not head):
            return reason
    if head.startswith(b"\x80"):
        return "it is a plain pickle, which is a program; ask for a .safetensors file"
    return "it is no file of torch; give a .safetensors, .pt or .bin file"
