"""SEEM and X-Decoder on disk: official files, and folders that carry their own config.

Folders hold `model.safetensors` under the official names, so both go through one loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.decoders.keys import FPN, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX
from segtune.backbones.encoders.davit import DaViT
from segtune.backbones.encoders.keys import DAVIT, FOCALNET, IMAGE_ENCODER_PREFIX
from segtune.backbones.reading.key_tables import (
    Rules,
    keys_under,
    load_strictly,
    rename_keys,
    reversed_rules,
)
from segtune.backbones.seem.config import SeemConfig, seem_config_from
from segtune.backbones.seem.decoder_keys import decoder_from_official, decoder_to_official
from segtune.backbones.seem.keys import IGNORED, TEXT_PREFIX, text_from_official, text_to_official
from segtune.backbones.seem.model import Seem
from segtune.errors import WeightsError
from segtune.ops.normalisation import IMAGENET, Normalisation
from segtune.storage.json_files import read_settings
from segtune.storage.weights import load_tokenizer, read_state
from segtune.storage.weights.state_dicts import some

MODEL_TYPE = "seem"


def seem_from_official(
    state: Mapping[str, Tensor],
    *,
    num_heads: int = 8,
    text_heads: int = 8,
    groups: int = 32,
    tokenizer: Any | None = None,
    name: str = "seem",
    normalisation: Normalisation = IMAGENET,
    dense_size: int = 640,
) -> Seem:
    """Returns a frozen model from a state dict in the official layout of SEEM or X-Decoder.

    Sizes are read from the tensors, and X-Decoder is known by its captioning tensors, which are
    left out. Heads and groups are not in the weights; the defaults are those of every published
    model.

    Args:
        state: names such as "backbone.patch_embed.proj.weight".
        num_heads: of pixel decoder and decoder.
        text_heads: of the text tower.
        groups: of every GroupNorm of the pixel decoder.
        tokenizer: a CLIP tokenizer, for words.

    Raises:
        WeightsError: something is missing, left over, or of another shape.
    """
    config = seem_config_from(state, num_heads=num_heads, text_heads=text_heads, groups=groups)
    seem = Seem(config, tokenizer, name=name, normalisation=normalisation, dense_size=dense_size)
    load_official(seem, state)
    return seem


def load_seem(path: Path | str, *, tokenizer: str | Path | None = None) -> Seem:
    """Returns a frozen model from a folder of `save_seem`, or from an official file.

    Args:
        path: a folder with config.json and model.safetensors, or a `.pt` or `.safetensors` file.
        tokenizer: folder or hub name of tokenizer files; official files carry none.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is no SEEM.
    """
    path = Path(path)
    if not path.is_dir():
        found = load_tokenizer(tokenizer) if tokenizer else None
        return seem_from_official(read_state(path), tokenizer=found, name=path.stem)
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = read_settings(path / "config.json")
    if settings.get("model_type") != MODEL_TYPE:
        raise WeightsError(f"{path} is a {settings.get('model_type', 'nameless')!r}, not a SEEM")
    seem = Seem(
        SeemConfig.from_dict(settings["sizes"]),
        load_tokenizer(tokenizer or path),
        name=settings.get("name", path.name),
        normalisation=Normalisation(
            tuple(settings.get("mean", IMAGENET.mean)), tuple(settings.get("std", IMAGENET.std))
        ),
        dense_size=settings.get("dense_size", 640),
    )
    load_official(seem, read_state(path / "model.safetensors"))
    return seem


def save_seem(seem: Seem, folder: Path, *, half: bool = False) -> Path:
    """Writes a folder that `load_seem` reads; returns it.

    Args:
        half: store the weights in float16.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    state = {k: v.to("cpu", dtype).contiguous() for k, v in official_state(seem).items()}
    save_file(state, folder / "model.safetensors")
    settings: dict[str, Any] = {
        "model_type": MODEL_TYPE,
        "name": seem.name,
        "mean": list(seem.normalisation.mean),
        "std": list(seem.normalisation.std),
        "dense_size": seem.dense_size,
        "sizes": seem.config.to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if seem.tokenizer is not None:
        seem.tokenizer.save_pretrained(str(folder))
    return folder


def load_official(seem: Seem, state: Mapping[str, Tensor]) -> None:
    """Copies tensors under their official names into a model of the right sizes.

    Raises:
        WeightsError: names or shapes of a part do not fit; all of them are listed.
    """
    state = rename_keys(state, IGNORED)
    prefixes = (IMAGE_ENCODER_PREFIX, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX)
    if extra := [key for key in state if not key.startswith(prefixes)]:
        raise WeightsError(f"{seem.name} has tensors that are no part of a SEEM: {some(extra)}")
    encoder = rename_keys(keys_under(state, IMAGE_ENCODER_PREFIX), _encoder_rules(seem))
    pixel = rename_keys(keys_under(state, PIXEL_DECODER_PREFIX), FPN)
    decoder, points = decoder_from_official(keys_under(state, PREDICTOR_PREFIX))
    text = text_from_official(keys_under(state, TEXT_PREFIX))
    load_strictly(seem.image_encoder, encoder, seem.name)
    load_strictly(seem.pixel_decoder, pixel, seem.name)
    load_strictly(seem.decoder, decoder, seem.name)
    load_strictly(seem.text, text, seem.name)
    if seem.points is not None:
        load_strictly(seem.points, points, seem.name)
    elif points:
        raise WeightsError(
            f"{seem.name} has some tensors of point prompts, not all: {some(points)}"
        )


def official_state(seem: Seem) -> dict[str, Tensor]:
    """Returns all tensors of a model under their official names."""
    points = {} if seem.points is None else seem.points.state_dict()
    parts = {
        IMAGE_ENCODER_PREFIX: rename_keys(
            seem.image_encoder.state_dict(), reversed_rules(_encoder_rules(seem))
        ),
        PIXEL_DECODER_PREFIX: rename_keys(seem.pixel_decoder.state_dict(), reversed_rules(FPN)),
        PREDICTOR_PREFIX: decoder_to_official(seem.decoder.state_dict(), points),
        TEXT_PREFIX: text_to_official(seem.text.state_dict()),
    }
    return {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}


def _encoder_rules(seem: Seem) -> Rules:
    return DAVIT if isinstance(seem.image_encoder, DaViT) else FOCALNET
