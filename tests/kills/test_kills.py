"""Killed anywhere, typed again: every command ends with the same bytes as if nothing had happened.

`make test` kills each command at a few points, `make kill` at twenty; the points are seeded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import segtune
from segtune.storage.weights import read_saved
from tests import standins
from tests.kills.cases import CASES, Case
from tests.kills.killing import (
    KILLED,
    calls_of,
    run_on_full_disk,
    run_until,
    run_with_short_files,
    writes_of,
)

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

POINTS = int(os.environ.get("SEGTUNE_KILLS", "2"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, labelled: Path, model_folder: str) -> Path:
    """A folder with data and a model, copied for every case."""
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(labelled, folder / "scenes")
    shutil.copytree(model_folder, folder / "model")
    lines = [{"image": f"scenes/images/{i}.png", "caption": "a thing on ground"} for i in range(3)]
    standins.uniovseg(folder / "uniovseg")
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    segtune.load(model_folder)  # imports what is heavy before any fork
    return folder


@pytest.mark.parametrize("name", CASES)
def test_killed_and_typed_again(
    name: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    whole = _copy(bench, tmp_path / "whole", case)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    calls = calls_of(case.words, whole)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    points = rng.integers(calls // 20, calls, POINTS).tolist()
    for number, point in enumerate(points):
        folder = _copy(bench, tmp_path / str(number), case)
        status = run_until(point, case.words, folder)
        assert status in (0, KILLED)
        status = run_until(None, (*case.words, *case.again), folder)
        said = (folder / "output.txt").read_text()
        # A kill after the last file was written leaves a finished run, which is not run again.
        assert status == 0 or re.search("exists; add --force|holds a finished run", said), said
        for file in case.files:
            assert _content(folder / file) == _content(whole / file), f"{file}, killed at {point}"
        left = [p for p in folder.rglob(".*") if not p.name.endswith(".lock")]
        assert left == [], f"killed at {point}"


@pytest.mark.parametrize("name", ["fit", "evaluate", "segment", "mine", "rpn"])
def test_a_full_disk_at_each_write(
    name: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    whole = _copy(bench, tmp_path / "whole", case)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    writes = writes_of(case.words, whole)
    assert writes
    rng = np.random.default_rng(0)
    chosen = range(1, writes + 1)
    if writes > 2 * POINTS:
        chosen = sorted(rng.choice(chosen, 2 * POINTS, replace=False).tolist())
    for nth in chosen:
        folder = _copy(bench, tmp_path / str(nth), case)
        assert run_on_full_disk(nth, case.words, folder) == 2
        lines = (folder / "output.txt").read_text().splitlines()
        [said] = [line for line in lines if line.startswith("segtune: ")]
        assert "No space left on device" in said
        assert list(folder.rglob(".*")) == []
        status = run_until(None, (*case.words, *case.again), folder)
        assert status == 0, (folder / "output.txt").read_text()
        for file in case.files:
            assert _content(folder / file) == _content(whole / file), f"{file}, write {nth}"


@pytest.mark.parametrize("name", [name for name in CASES if name != "mine by two"])
def test_a_disk_that_fills_up_in_the_middle_of_a_file(
    name: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    whole = _copy(bench, tmp_path / "whole", case)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    assert run_until(None, case.words, whole) == 0, (whole / "output.txt").read_text()
    largest = max((whole / file).stat().st_size for file in case.files)
    folder = _copy(bench, tmp_path / "again", case)
    assert run_with_short_files(largest // 2, case.words, folder) == 2
    lines = (folder / "output.txt").read_text().splitlines()
    said = [line for line in lines if line.startswith("segtune: ")]
    assert len(said) == 1, "\n".join(lines)
    assert "File too large" in said[0]
    assert list(folder.rglob(".*")) == []
    status = run_until(None, (*case.words, *case.again), folder)
    assert status == 0, (folder / "output.txt").read_text()
    for file in case.files:
        assert _content(folder / file) == _content(whole / file), file


def _copy(bench: Path, folder: Path, case: Case) -> Path:
    shutil.copytree(bench, folder)
    (folder / "r.yaml").write_text(case.recipe)
    return folder


def _content(path: Path) -> object:
    """Returns what must be equal: the bytes, without times and, of checkpoints, the tensors."""
    if path.suffix == ".pt":
        return _plain(read_saved(path)["parts"])
    content = path.read_bytes()
    return re.sub(rb'"seconds": [\d.e-]+', b"", content) if path.suffix == ".json" else content


def _plain(value: object) -> object:
    """Returns nested values that compare by `==`."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
