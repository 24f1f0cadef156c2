"""Settings of strangers: numbers that no model has, and models larger than their weights."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from segtune.backbones.cards import ZOO
from segtune.backbones.hub import load_backbone
from segtune.backbones.reading.config_bounds import bounded, check_settings
from segtune.errors import WeightsError


def folder_with(root: Path, name: str, place: tuple[Any, ...], value: Any) -> Path:
    folder = Path(shutil.copytree(ZOO / name, root / "model"))
    settings = json.loads((folder / "config.json").read_text())
    inner = settings
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("seem-tiny", ("std", 0), 0, "std is 0; expected 1e-06 to 10000"),
        ("seem-tiny", ("std", 1), float("nan"), "std is nan"),
        ("seem-tiny", ("mean", 1), 1e300, "mean is 1e+300"),
        ("seem-tiny", ("dense_size",), -1, "dense_size is -1"),
        ("seem-tiny", ("sizes", "image_encoder", "depths", 0), 10**6, "depths is 1000000"),
        ("seem-tiny", ("sizes", "image_encoder", "embed_dim"), 10**6, "embed_dim is 1000000"),
        ("seem-tiny", ("sizes", "image_encoder", "embed_dim"), 60_000, "far larger than its"),
        ("clip-vit-tiny", ("text_config", "vocab_size"), 10**9, "vocab_size is 1000000000"),
        ("clip-vit-tiny", ("vision_config", "intermediate_size"), 60_000_000, "intermediate"),
    ],
)
def test_numbers_of_strangers(
    tmp_path: Path, name: str, place: tuple[Any, ...], value: Any, said: str
) -> None:
    folder = folder_with(tmp_path, name, place, value)
    began = time.process_time()
    with pytest.raises(WeightsError) as caught:
        load_backbone(str(folder))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(folder))
    assert time.process_time() - began < 5


def test_bundled_models_pass() -> None:
    for folder in sorted(ZOO.iterdir()):
        if folder.is_dir() and (folder / "config.json").is_file():
            check_settings(folder)


def test_allocations_are_counted(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    with bounded(tmp_path):
        torch.empty(1000)
        torch.nn.Linear(100, 100)
    with pytest.raises(WeightsError, match="far larger than its weights"), bounded(tmp_path):
        torch.empty(2**20, 2**10)
    torch.empty(10)
