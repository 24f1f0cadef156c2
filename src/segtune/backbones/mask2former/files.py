"""Mask2Formers on disk: official files, folders of ours, and folders of transformers.

| given | layout |
|---|---|
| `.pth`, `.pt`, `.safetensors` | official: Mask2Former's or SegPrompt's checkpoints |
| `.pkl` | official: NumPy arrays by name, read as data and never run |
| folder with model_type "class-mask2former" | ours: official names and a config |
| folder with model_type "mask2former" | that of transformers |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.mask2former.config import Mask2FormerConfig, config_from, decoder_sizes_from
from segtune.backbones.mask2former.hf import HF_TYPE, mask2former_from_hf
from segtune.backbones.mask2former.keys import PREDICTOR, state_from_official, state_to_official
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.reading.key_tables import load_strictly, rename_keys
from segtune.backbones.reading.preprocessing import stated_normalisation
from segtune.errors import WeightsError
from segtune.ops.normalisation import IMAGENET, IMAGENET_BY_UNIT, Normalisation
from segtune.storage.json_files import read_settings
from segtune.storage.weights import read_state
from segtune.storage.weights.numpy_pickles import read_numpy_pickle

MODEL_TYPE = "class-mask2former"
"""`model_type` of our folders; "mask2former" is that of transformers."""


def mask2former_from_official(
    state: Mapping[str, Tensor],
    *,
    num_heads: int = 8,
    groups: int = 32,
    class_agnostic: bool = False,
    name: str = "mask2former",
    tokenizer: Any | None = None,
) -> Mask2Former:
    """Returns a frozen model from a state dict of Mask2Former or SegPrompt.

    Sizes are read from the tensors.

    Args:
        state: names such as "sem_seg_head.predictor.query_feat.weight".
        num_heads, groups: not in the weights; the defaults are those of every published model.
        class_agnostic: only class 0 was trained, as in SegPrompt and its baseline.
        tokenizer: not used; the model reads no words.

    Raises:
        WeightsError: something is missing, left over, or of another shape; all of it is listed.
    """
    own = state_from_official(state)
    config = config_from(own, num_heads=num_heads, groups=groups, class_agnostic=class_agnostic)
    model = Mask2Former(config, name=name)
    load_strictly(model, own, name)
    return model


def decoder_from_official(state: Mapping[str, Tensor], *, num_heads: int = 8) -> MaskedDecoder:
    """Returns the decoder alone, frozen, from the part under "sem_seg_head.predictor.".

    Args:
        num_heads: not in the weights; 8 in every published model.

    Raises:
        WeightsError: something is missing, left over, or of another shape; all of it is listed.
    """
    own = rename_keys(state, PREDICTOR)
    decoder = MaskedDecoder(**decoder_sizes_from(own, num_heads=num_heads))
    load_strictly(decoder, own, "decoder")
    return decoder.requires_grad_(False)


def load_mask2former(
    path: Path | str, *, class_agnostic: bool = False, tokenizer: Any | None = None
) -> Mask2Former:
    """Returns a frozen model from a file or folder; see the module docstring.

    Args:
        class_agnostic: for official files; folders of ours say it themselves.
        tokenizer: not used; the model reads no words.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is no Mask2Former.
    """
    path = Path(path)
    if not path.is_dir():
        return mask2former_from_official(
            read_official(path), class_agnostic=class_agnostic, name=path.stem
        )
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = read_settings(path / "config.json")
    state = read_state(path / "model.safetensors")
    if settings.get("model_type") == HF_TYPE:
        normalisation = stated_normalisation(path) or IMAGENET_BY_UNIT
        return mask2former_from_hf(state, settings, name=path.name, normalisation=normalisation)
    if settings.get("model_type") != MODEL_TYPE:
        kind = settings.get("model_type", "nameless")
        raise WeightsError(f"{path} is a {kind!r}, not a Mask2Former")
    model = Mask2Former(
        Mask2FormerConfig.from_dict(settings["sizes"]),
        name=settings.get("name", path.name),
        normalisation=_normalisation(settings),
        dense_size=settings.get("dense_size", 800),
    )
    model.training_notes, model.folder = dict(settings.get("training", {})), path
    load_strictly(model, state_from_official(state), model.name)
    return model


def read_official(path: Path | str) -> dict[str, Tensor]:
    """Returns the tensors of an official checkpoint file.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is damaged or unsafe.
    """
    path = Path(path)
    if path.suffix != ".pkl":
        return read_state(path)
    return {name: torch.from_numpy(array) for name, array in read_numpy_pickle(path).items()}


def proposals_from_folder(path: Path, *, title: str) -> Mask2Former:
    """Returns the model of a folder as a source of masks, called `title`."""
    model = load_mask2former(path)
    model.name = title
    return model


def save_mask2former(model: Mask2Former, folder: Path, *, half: bool = False) -> Path:
    """Writes a folder that `load_mask2former` reads; returns it.

    Args:
        half: store the weights in float16.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    official = state_to_official(model.state_dict())
    state = {key: value.to("cpu", dtype).contiguous() for key, value in official.items()}
    save_file(state, folder / "model.safetensors")
    settings: dict[str, Any] = {
        "model_type": MODEL_TYPE,
        "name": model.name,
        "dense_size": model.dense_size,
        "mean": list(model.normalisation.mean),
        "std": list(model.normalisation.std),
        "by_unit": model.normalisation.by_unit,
        "sizes": model.config.to_dict(),
    }
    if model.training_notes:
        settings["training"] = model.training_notes
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder


def _normalisation(settings: Mapping[str, Any]) -> Normalisation:
    if "mean" not in settings:
        return IMAGENET
    return Normalisation(
        tuple(settings["mean"]), tuple(settings["std"]), settings.get("by_unit", False)
    )
