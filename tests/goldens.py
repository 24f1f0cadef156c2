"""Finding the golden vectors: tiny checkpoints in official layouts with inputs and outputs.

`SEGTUNE_GOLDENS` names the folder; the default is `../shared/goldens` beside the project. Any other
set of the same components works: tests read every size from the files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Golden:
    """One golden file: tensors by prefix, and its metadata (JSON values decoded)."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, object]

    @property
    def config(self) -> dict:
        """The configuration of the official module: in the header, or `config.json` beside."""
        if "config" in self.metadata:
            return self.metadata["config"]
        return json.loads((self.path.parent / "config.json").read_text())

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors whose names start with `prefix.` or `prefix/`, without it."""
        cut = len(prefix) + 1
        starts = (prefix + ".", prefix + "/")
        return {k[cut:]: v for k, v in self.tensors.items() if k.startswith(starts)}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def golden_files(component: str) -> list[Path]:
    """Returns the safetensors files of a component; skips the test where there are none."""
    folder = Path(os.environ.get("SEGTUNE_GOLDENS", ROOT.parent / "shared" / "goldens")) / component
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        if os.environ.get("SEGTUNE_REQUIRE_GOLDENS"):
            pytest.fail(f"no goldens of {component} in {folder}")
        pytest.skip(f"no goldens of {component} in {folder}; set SEGTUNE_GOLDENS")
    return files


def goldens(component: str, stem: str = "") -> list[Golden]:
    """Returns the golden files of a component whose stem starts with `stem`, read."""
    found = [read_golden(path) for path in golden_files(component) if path.stem.startswith(stem)]
    assert found, f"{component} has no file {stem}*"
    return found


def read_golden(path: Path) -> Golden:
    """Returns one golden file, read."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = {key: _decoded(value) for key, value in (file.metadata() or {}).items()}
    return Golden(path, tensors, metadata)


def _decoded(value: str) -> object:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def close(actual: Tensor, expected: Tensor, *, atol: float = 2e-5, rtol: float = 1e-4) -> None:
    """Asserts equality within the tolerance that the goldens state for outputs."""
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol)


def close_gradient(actual: Tensor, expected: Tensor) -> None:
    """Asserts equality within the tolerance that the goldens state for gradients."""
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-3)
