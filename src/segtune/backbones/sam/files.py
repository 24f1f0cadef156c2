"""From a folder or hub name to a frozen SAM, SAM 2 or SAM 3 (Hugging Face layout, safetensors).

Original `.pt` files are not read: the same weights are on the hub in this layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Sam2Model, Sam3Model, SamModel

from segtune.backbones.hub import default_device
from segtune.backbones.reading.hf_files import download, read_pretrained
from segtune.backbones.reading.preprocessing import stated_normalisation
from segtune.backbones.sam.model import Sam
from segtune.backbones.sam.proposals import SamProposals
from segtune.backbones.sam.sam3 import Sam3
from segtune.errors import WeightsError
from segtune.ops.normalisation import HALF, IMAGENET_BY_UNIT
from segtune.storage.json_files import read_settings
from segtune.storage.weights import load_tokenizer

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
    if path.is_dir():
        sam = sam_from_folder(path, tokenizer=tokenizer)
    else:
        path = download(str(name), example="facebook/sam-vit-base")
        sam = sam_from_folder(path, tokenizer=tokenizer)
        sam.name = str(name)  # the folder is called after a commit
    return sam.to(device or default_device())


def sam_from_folder(path: Path, *, tokenizer: str | Path | None = None) -> Sam | Sam3:
    """Returns the frozen model of a folder, on the CPU; see `load_sam`."""
    file = path / "config.json"
    if not file.is_file():
        raise WeightsError(
            f"{path} has no config.json; a SAM folder needs config.json and model.safetensors"
        )
    kind = read_settings(file).get("model_type", "nameless")
    if kind not in CLASSES:
        raise WeightsError(
            f"{path} is a {kind!r} model; expected one of {', '.join(CLASSES)} in its config.json"
        )
    model = read_pretrained(path, CLASSES[kind])
    stated = stated_normalisation(path)
    if isinstance(model, Sam3Model):
        return Sam3(
            model,
            load_tokenizer(tokenizer or path),
            name=path.name,
            normalisation=stated or HALF,
        )
    return Sam(model, name=path.name, normalisation=stated or IMAGENET_BY_UNIT)


def proposals_from_folder(path: Path, *, title: str) -> SamProposals:
    """Returns a SAM or SAM 2 as a source of masks, on the CPU.

    Args:
        title: what tables and files call it.
    """
    sam = sam_from_folder(path)
    assert isinstance(sam, Sam)
    sam.name = title
    return SamProposals(sam)
