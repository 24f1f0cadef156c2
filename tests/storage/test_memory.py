from pathlib import Path

import pytest

from segtune.storage import memory
from segtune.storage.memory import free_memory, is_out_of_memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    return tmp_path


def test_nothing_is_known(system: Path) -> None:
    assert free_memory() is None


def test_the_smaller_limit_counts(system: Path) -> None:
    (system / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8 kB\n")
    assert free_memory() == 8192
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("7000\n")
    (system / "memory.stat").write_text("anon 3\ninactive_file 500\n")
    assert free_memory() == 8192
    (system / "memory.max").write_text("9000\n")
    assert free_memory() == 2500


def test_errors_that_mean_it() -> None:
    said = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
    assert is_out_of_memory(RuntimeError(said))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
