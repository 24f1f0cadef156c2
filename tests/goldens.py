"""Finding the golden vectors: tiny checkpoints in official layouts with inputs and outputs.

`SEGTUNE_GOLDENS` names the folder; the default is `../shared/goldens` beside the project. Any other
set of the same components works: tests read every size from the files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

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


STEPS, DEEP_STEPS = 128, 512
"""Tolerances of `close`, in rounding steps; how they were chosen is said there."""


def close(actual: Tensor, expected: Tensor, *, steps: int = STEPS) -> None:
    """Asserts that no entry is further off than `steps` rounding steps of the largest expected one.

    A step is the machine epsilon of the dtype in which the golden is stored times the largest
    magnitude in it: 1.2e-7 of it for float32. So the bound follows the size of the values, and
    small entries are held to that of their tensor, whose sums they come from.

    How the numbers were chosen: every golden comparison was run with the kernels of four kinds of
    processor (ATEN_CPU_CAPABILITY, MKL_ENABLE_INSTRUCTIONS and ONEDNN_MAX_CPU_ISA set to AVX-512,
    AVX2, SSE4, and MKL_CBWR=COMPATIBLE) and the largest deviation was noted.

    * 128 (1.5e-5), the default: all but those below were at most 32 steps off, most of them 5.
    * `DEEP_STEPS`, 512 (6e-5): long chains. SegPrompt's decoders of random weights with masks up to
      400 (86; on another machine 98), FocalNet (55), gradients of learned mask prompts (72), and
      antialiased regions (53, where sums have another order).
    * 1 for tensors stored in half precision: the rounding of the golden itself is half a step.

    Decoders are compared in float64 too, where the processor does not matter and the rounding of
    the golden is left (155 steps in those masks). That no bound hides a mistake is what
    `notices_every_weight` shows.
    """
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} for {tuple(expected.shape)}"
    assert expected.isfinite().all(), "the golden is not finite"
    largest = expected.double().abs().max().item() if expected.numel() else 0.0
    atol = steps * torch.finfo(expected.dtype).eps * largest
    torch.testing.assert_close(actual.double(), expected.double(), atol=atol, rtol=0)


def notices_every_weight(
    module: nn.Module, compare: Callable[[], None], *, without_effect: str = "$^"
) -> None:
    """Asserts that `compare` fails as soon as one weight of `module` is 1 % off.

    One weight after the other (a matrix or vector), its entries become 1 % larger or smaller, as a
    coin says.

    Args:
        module: as the golden has it; left as it was.
        compare: runs it and compares with the golden; passes before and after.
        without_effect: regular expression of names of weights that cancel out in exact arithmetic.
    """
    compare()
    generator = torch.Generator().manual_seed(0)
    hidden = []
    for name, weight in module.named_parameters():
        if re.search(without_effect, name):
            continue
        coins = torch.randint(0, 2, weight.shape, generator=generator)
        right = weight.detach().clone()
        with torch.no_grad():
            weight.mul_(0.99 + 0.02 * coins)
        try:
            compare()
            hidden.append(name)
        except AssertionError:
            pass
        with torch.no_grad():
            weight.copy_(right)
    compare()
    assert not hidden, f"1 % of one weight is not noticed in {hidden}"
