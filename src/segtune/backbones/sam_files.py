"""From a folder or hub name to a frozen SAM, SAM 2 or SAM 3 (Hugging Face layout, safetensors).

Original `.pt` files are not read: the same weights are on the hub in this layout.
"""

from __future__ import annotations

import json
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
from transformers import Sam2Model, Sam3Model, SamModel

from segtune.backbones.hub import default_device, load_tokenizer
from segtune.backbones.sam import Sam
from segtune.backbones.sam3 import Sam3
from segtune.errors import WeightsError

CLASSES: dict[str, Any] = {
    "sam": SamModel,
    "sam2": Sam2Model,
    "sam2_video": Sam2Model,  # the official SAM 2 files; what only video needs is not loaded
    "sam3": Sam3Model,
    "sam3_video": Sam3Model,
}
"""model_type in config.json -> class."""


def load_sam(
    name: str | Path,
    *,
    tokenizer: str | Path | None = None,
    device: str | torch.device | None = None,
) -> Sam | Sam3:
    """Returns a frozen SAM, SAM 2 or SAM 3, by what its config.json says it is.

    Args:
        name: a folder with config.json and model.safetensors, or a hub name such as
            "facebook/sam-vit-base", "facebook/sam2.1-hiera-tiny" or "facebook/sam3" (gated).
        tokenizer: SAM 3 only: folder or hub name of tokenizer files; None looks beside the model.
        device: where to put it; None takes an accelerator where there is one.

    Raises:
        FileNotFoundError, WeightsError: nothing found, it is not a SAM, or weights are missing.
    """
    path = Path(name)
    if not path.is_dir():
        path = _download(str(name))
    file = path / "config.json"
    if not file.is_file():
        raise WeightsError(
            f"{path} has no config.json; a SAM folder needs config.json and model.safetensors"
        )
    kind = json.loads(file.read_text()).get("model_type", "nameless")
    if kind not in CLASSES:
        raise WeightsError(
            f"{path} is a {kind!r} model; expected one of {', '.join(CLASSES)} in its config.json"
        )
    model = _read(path, CLASSES[kind])
    title = str(name) if not Path(name).is_dir() else path.name
    settings = _normalisation(path)
    sam: Sam | Sam3
    if isinstance(model, Sam3Model):
        sam = Sam3(model, load_tokenizer(tokenizer or path), name=title, **settings)
    else:
        sam = Sam(model, name=title, **settings)
    return sam.to(device or default_device())


def _read(path: Path, model_class: Any) -> Any:
    if not any(path.glob("*.safetensors")):
        raise WeightsError(
            f"{path} has no model.safetensors; save it with save_pretrained, or download it again"
        )
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
            f"missing {missing or 'nothing'}, unexpected {extra or 'nothing'}"
        )
    return model


def _normalisation(path: Path) -> dict[str, tuple[float, ...]]:
    """Returns mean and std where the folder states them; else nothing, for the defaults."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (path / name).is_file():
            values = json.loads((path / name).read_text())
            values = values.get("image_processor", values)
            if "image_mean" in values and "image_std" in values:
                return {"mean": tuple(values["image_mean"]), "std": tuple(values["image_std"])}
    return {}


def _download(name: str) -> Path:
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise FileNotFoundError(
            f"no model at {name}; give a folder with config.json and model.safetensors, or a hub "
            'name such as "facebook/sam-vit-base"'
        )
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
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
