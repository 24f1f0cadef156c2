"""The log of a run: one JSON line per step, with its number, seconds, rate and losses.

A run that diverged says so in its last line, so that the next one may take its place.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

from segtune.storage.files import atomic_write
from segtune.storage.jsonl import append_line, read_lines

DIVERGED = "diverged"


def log_step(path: Path, step: int, values: dict[str, Any]) -> None:
    """Appends the line of a step; numbers are rounded to six digits.

    Args:
        step: number of finished steps, from 1 on.
    """
    rounded = {
        k: round(v, 6) if isinstance(v, float) and k != "lr" else v for k, v in values.items()
    }
    append_line(path, {"step": step, **rounded})


def log_divergence(path: Path, step: int, reason: str) -> None:
    """Appends that a run ended in a step that it did not take."""
    append_line(path, {"step": step, DIVERGED: reason})


def has_diverged(path: Path) -> bool:
    """Whether the run of a log ended by diverging."""
    last = next(iter(deque(read_lines(path), maxlen=1)), "")
    return last.startswith("{") and DIVERGED in json.loads(last)


def cut_log(path: Path, steps: int) -> None:
    """Drops the lines of steps that will be taken again: all but the first `steps`."""
    if not path.is_file():
        return
    kept = list(islice(read_lines(path), steps))
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
