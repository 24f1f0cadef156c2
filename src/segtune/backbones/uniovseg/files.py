"""A Uni-OVSeg on disk: the official `stage1.pth`, and folders that carry their own config.

Folders hold `model.safetensors` under the official names, so both go through one loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.reading.key_tables import load_strictly
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.backbones.uniovseg.keys import from_official, sizes_from, to_official
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.errors import WeightsError
from segtune.storage.json_files import read_settings
from segtune.storage.weights import load_tokenizer, read_state

MODEL_TYPE = "uniovseg"
"""`model_type` of our folders."""


def load_uniovseg(path: Path | str, *, tokenizer: str | Path | None = None) -> UniOvseg:
    """Returns a frozen model from a folder of `save_uniovseg`, or from an official file.

    Args:
        tokenizer: folder or hub name; official files carry none. None takes that of a folder.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is no Uni-OVSeg.
    """
    path = Path(path)
    if not path.is_dir():
        words = load_tokenizer(tokenizer) if tokenizer else None
        return uniovseg_from_official(read_state(path), name=path.stem, tokenizer=words)
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = read_settings(path / "config.json")
    if settings.get("model_type") != MODEL_TYPE:
        kind = settings.get("model_type", "nameless")
        raise WeightsError(f"{path} is a {kind!r}, not a Uni-OVSeg")
    return _built(
        UniOvsegConfig.from_dict(settings["sizes"]),
        from_official(read_state(path / "model.safetensors")),
        name=settings.get("name", path.name),
        tokenizer=load_tokenizer(tokenizer or path),
    )


def proposals_from_folder(path: Path, *, title: str) -> UniOvseg:
    """Returns a model as a source of masks, on the CPU.

    Args:
        title: what tables and files call it.
    """
    model = load_uniovseg(path)
    model.name = title
    return model


def uniovseg_from_official(
    state: Mapping[str, Tensor],
    *,
    name: str = "uniovseg",
    tokenizer: Any | None = None,
    num_heads: int = 8,
    groups: int = 32,
    canvas: int = 1024,
    text_heads: int | None = None,
) -> UniOvseg:
    """Returns a frozen model from a state dict in the official layout, such as `stage1.pth`.

    The Fourier frequencies of the three encodings are among the tensors and are needed: drawn anew,
    they would ruin the model without an error.

    Args:
        state: names such as "sem_seg_head.predictor.mask_embed.0.layers.0.weight".
        num_heads, groups, canvas, text_heads: not in the weights; the defaults are those of the
            released model.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ; all of them are listed.
    """
    own = from_official(state)
    config = sizes_from(
        own, num_heads=num_heads, groups=groups, canvas=canvas, text_heads=text_heads
    )
    return _built(config, own, name=name, tokenizer=tokenizer)


def save_uniovseg(model: UniOvseg, folder: Path | str, *, half: bool = False) -> Path:
    """Writes a folder that `load_uniovseg` reads; returns it.

    Args:
        half: store the weights in float16; the Fourier frequencies stay in float32.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    state = {
        key: value.to("cpu", torch.float32 if "gaussian" in key else dtype).contiguous()
        for key, value in to_official(model.state_dict()).items()
    }
    save_file(state, folder / "model.safetensors")
    if model.clip.tokenizer is not None:
        model.clip.tokenizer.save_pretrained(folder)
    settings = {"model_type": MODEL_TYPE, "name": model.name, "sizes": model.config.to_dict()}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder


def _built(
    config: UniOvsegConfig, own: Mapping[str, Tensor], *, name: str, tokenizer: Any | None
) -> UniOvseg:
    clip = ClipConvNext(config.clip, tokenizer, name=name, dense_size=config.canvas)
    model = UniOvseg(config, clip, name=name)
    load_strictly(model, own, name)
    return model
