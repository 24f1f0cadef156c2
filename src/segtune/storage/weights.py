"""Checkpoint files and tokenizers as they lie on disk.

Pickled files go through torch's weights-only loader; TorchScript archives (OpenAI's own `.pt`)
through `torch.jit.load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.errors import WeightsError


def load_tokenizer(path: str | Path) -> Any | None:
    """Returns the tokenizer in a folder or under a hub name; None where a folder has none."""
    from transformers import CLIPTokenizer

    names = ("tokenizer.json", "vocab.json", "merges.txt")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in names):
        return None
    return CLIPTokenizer.from_pretrained(str(path))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Returns the tensors of a checkpoint file; a "state_dict" or "model" entry is unwrapped.

    Raises:
        FileNotFoundError, WeightsError: missing, damaged, or not a dictionary of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a .safetensors, .pt or .bin file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = _unpickle(path)
    except (OSError, WeightsError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} is damaged or not a checkpoint: {reason}") from None
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; expected a state dict")
    return tensors


def _unpickle(path: Path) -> dict[str, Any]:
    if _is_torchscript(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def _is_torchscript(path: Path) -> bool:
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
