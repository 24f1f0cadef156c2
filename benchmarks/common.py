"""What the benchmarks share: counting, timing side by side, peak memory, and printing one table."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Key = TypeVar("Key")
MAC_RULE = (
    "one multiply-add = 1 MAC; all linears, matrix products, convolutions and both attention "
    "products; not counted: element-wise work, norms, softmax and bilinear resizing"
)
MEMORY_RULE = (
    "growth of the resident set of a fresh process: its highest point during the first image minus "
    "the level before it, after the model was built and a tiny image was run through the frozen "
    "layers; the C library is told to return freed blocks at once, so that memory in use is seen, "
    "not memory kept for reuse"
)
RETURN_FREED_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Environment for glibc."""


def count_macs(call: Callable[[], object]) -> int:
    """Returns the multiply-adds that a call executes, counted operation by operation.

    PyTorch's counter knows no formula for the fused CPU attention; here it gets one.
    """
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={attention: _sdpa}) as mode:
        call()
    return mode.get_total_flops() // 2


def _sdpa(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


@dataclass(frozen=True)
class Seconds:
    """Medians over repeated calls: wall time, and processor time summed over threads."""

    wall: float
    cpu: float


def interleaved_seconds(
    calls: Mapping[Key, Callable[[], object]], *, repeats: int
) -> dict[Key, Seconds]:
    """Returns the times of every call, taken in turns, so that noise falls on all alike.

    On a busy machine processor time with one thread is the steadier of the two.
    """
    taken: dict[Key, list[tuple[float, float]]] = {key: [] for key in calls}
    for _ in range(repeats):
        for key, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[key].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {key: Seconds(*map(statistics.median, zip(*t, strict=True))) for key, t in taken.items()}


def peak_growth(call: Callable[[], object]) -> int | None:
    """Returns by how many bytes a call raises the resident set at its highest; None off Linux.

    To be called once, in a fresh process with `RETURN_FREED_BLOCKS`.
    """
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    reset.write_text("5")  # sets VmHWM, the highest resident size, to the current size
    before = _status_bytes("VmRSS")
    call()
    return _status_bytes("VmHWM") - before


def _status_bytes(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def in_fresh_process(script: str, *arguments: str) -> str:
    """Returns what a script prints when it is started for a memory measurement."""
    command = [sys.executable, script, *arguments]
    environment = os.environ | RETURN_FREED_BLOCKS
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return done.stdout


def machine() -> str:
    """Returns processor, threads and torch version in words."""
    try:
        model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        model = None
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns as wide as their longest cell: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, ["-" * width for width in widths], *rows):
        first, *rest = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]))
