"""Reading models of transformers from folders and from the hub: strictly, safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from safetensors import SafetensorError

from segtune.errors import WeightsError
from segtune.storage.weights import check_safetensors
from segtune.storage.weights.state_dicts import check_finite, some


def read_pretrained(path: Path, model_class: Any) -> Any:
    """Returns the model of a folder in float32; nothing may be missing or left over.

    Args:
        path: a folder with config.json and safetensors files.
        model_class: of transformers.

    Raises:
        WeightsError: no weights, damaged or infinite ones, or not those of `model_class`.
    """
    if not (files := sorted(path.glob("*.safetensors"))):
        raise WeightsError(
            f"{path} has no model.safetensors; save it with save_pretrained, or download it again"
        )
    for file in files:
        check_safetensors(file)
    try:
        model, report = model_class.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path} is damaged or does not fit its config: {reason}") from None
    missing, extra = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or extra:
        raise WeightsError(
            f"{path} is not the {model_class.__name__} that its config says: "
            f"missing {some(missing) or 'nothing'}, unexpected {some(extra) or 'nothing'}"
        )
    check_finite(model.state_dict(), path)
    return model


def download(name: str, *, example: str, weights: str = "*.safetensors") -> Path:
    """Returns the local folder of a repository of the hub.

    Args:
        example: a name for the message where `name` is none.
        weights: pattern of the weight files to fetch.

    Raises:
        FileNotFoundError, WeightsError: it is no name, is gated, or cannot be had.
    """
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise FileNotFoundError(
            f"no model at {name}; give a folder with config.json and model.safetensors, or a hub "
            f'name such as "{example}"'
        )
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", weights]))
    except GatedRepoError:
        raise WeightsError(
            f"{name!r} is gated: accept its terms at https://huggingface.co/{name}, type "
            "`hf auth login`, or pass a local folder"
        ) from None
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"cannot get the weights of {name!r} ({type(error).__name__}); without a network, pass "
            f"a local folder; see https://huggingface.co/{name}"
        ) from None
