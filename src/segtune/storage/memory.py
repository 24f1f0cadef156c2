"""How much memory there is for what comes next, and whether an error says that there was none."""

from __future__ import annotations

from pathlib import Path

GROUP = Path("/sys/fs/cgroup")
MEMORY = Path("/proc/meminfo")
OUT_OF_MEMORY = "out of memory; use a smaller --size or --crop, or smaller images"


def free_memory() -> int | None:
    """Returns the bytes that this process may still take; None where the system does not say.

    The limit of a container counts, without what its file cache holds and would give back.
    """
    found = [_of_machine(), _of_container()]
    known = [value for value in found if value is not None]
    return min(known) if known else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; on a CPU, torch has no class of its own for that.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("no"))
        (True, False)
    """
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or (isinstance(error, RuntimeError) and "t allocate memory" in str(error))
    )


def _of_machine() -> int | None:
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _of_container() -> int | None:
    try:
        limit = (GROUP / "memory.max").read_text().strip()
        used = int((GROUP / "memory.current").read_text())
        lines = (GROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    if not limit.isdecimal():  # "max"
        return None
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(int(limit) - used + cached, 0)
