"""A ConvNeXt CLIP on disk: exports of OpenCLIP, its state dicts, and folders with own config.

Folders hold the weights under OpenCLIP's names, so all go through one loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.backbones.clip_convnext.keys import config_from, from_open_clip, to_open_clip
from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.reading.key_tables import load_strictly
from segtune.errors import WeightsError
from segtune.ops.normalisation import CLIP, Normalisation
from segtune.storage.json_files import read_settings
from segtune.storage.weights import load_tokenizer, read_state

MODEL_TYPE = "clip-convnext"
"""`model_type` of our folders."""
EXPORT = "open_clip_config.json"
"""What tells an export of OpenCLIP from our folders."""
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def load_clip_convnext(path: Path | str, *, tokenizer: str | Path | None = None) -> ClipConvNext:
    """Returns a frozen model from an export of OpenCLIP, a folder of ours, or a file.

    Args:
        path: a folder with open_clip_config.json, or with our config.json, or a file of weights.
        tokenizer: folder or hub name; None takes that of the folder.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is no CLIP with a ConvNeXt.
    """
    path = Path(path)
    if path.is_dir():
        words = load_tokenizer(tokenizer or path)
        load = _from_export if (path / EXPORT).is_file() else _from_folder
        return load(path, words)
    words = load_tokenizer(tokenizer) if tokenizer else None
    return clip_convnext_from_official(read_state(path), name=path.stem, tokenizer=words)


def clip_convnext_from_official(
    state: Mapping[str, Tensor],
    *,
    name: str = "clip-convnext",
    tokenizer: Any | None = None,
    text_heads: int | None = None,
    normalisation: Normalisation = CLIP,
) -> ClipConvNext:
    """Returns a frozen model from a state dict in OpenCLIP's layout.

    Args:
        state: names such as "visual.trunk.stem.0.weight"; nothing may be missing or left over.
        text_heads: not in the weights; None takes heads of width 64, as in every published model.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; all of them are listed.
    """
    own = from_open_clip(state)
    config = config_from(own, text_heads=text_heads)
    model = ClipConvNext(config, tokenizer, name=name, normalisation=normalisation)
    load_strictly(model, own, name)
    return model


def save_clip_convnext(clip: ClipConvNext, folder: Path | str) -> Path:
    """Writes config, weights and tokenizer as `load_clip_convnext` reads them; returns the folder.

    The weights are in full precision and under OpenCLIP's names.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    official = to_open_clip(clip.state_dict())
    state = {key: value.to("cpu", torch.float32).contiguous() for key, value in official.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    if clip.tokenizer is not None:
        clip.tokenizer.save_pretrained(folder)
    settings = {
        "model_type": MODEL_TYPE,
        "name": clip.name,
        "dense_size": clip.dense_size,
        "image_mean": list(clip.normalisation.unit_mean),
        "image_std": list(clip.normalisation.unit_std),
        "sizes": clip.config.to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder


def _from_export(path: Path, tokenizer: Any | None) -> ClipConvNext:
    file = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if file is None:
        raise WeightsError(f"{path} has no {WEIGHTS[0]}; an OpenCLIP export has it")
    settings = read_settings(path / EXPORT)
    preprocess = settings.get("preprocess_cfg", {})
    return clip_convnext_from_official(
        read_state(file),
        name=path.name,
        tokenizer=tokenizer,
        text_heads=settings["model_cfg"].get("text_cfg", {}).get("heads"),
        normalisation=Normalisation.of_unit(
            preprocess.get("mean", CLIP.unit_mean), preprocess.get("std", CLIP.unit_std)
        ),
    )


def _from_folder(path: Path, tokenizer: Any | None) -> ClipConvNext:
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = read_settings(path / "config.json")
    if settings.get("model_type") != MODEL_TYPE:
        kind = settings.get("model_type", "nameless")
        raise WeightsError(f"{path} is a {kind!r}, not a CLIP with a ConvNeXt")
    model = ClipConvNext(
        ClipConvNextConfig.from_dict(settings["sizes"]),
        tokenizer,
        name=settings.get("name", path.name),
        normalisation=Normalisation.of_unit(settings["image_mean"], settings["image_std"]),
        dense_size=settings["dense_size"],
    )
    load_strictly(model, from_open_clip(read_state(path / "model.safetensors")), model.name)
    return model
