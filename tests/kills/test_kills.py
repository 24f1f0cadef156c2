"""Killed anywhere, typed again: every command ends with the same bytes as if nothing had happened.

`make test` kills each command at a few points, `make kill` at twenty; the points are seeded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import segtune
from segtune.storage.weights import read_saved
from tests.kills.killing import KILLED, calls_of, run_on_full_disk, run_until, writes_of

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

POINTS = int(os.environ.get("SEGTUNE_KILLS", "2"))
FIT = ("fit", "scenes", "--model", "model", "--steps", "4", "--views", "1", "--shots", "2")
MINE = ("mine", "scenes", "--caption-file", "captions.jsonl")
RETENTION = ("--retention", "2", "--retention-data", "synthetic:base?size=64&length=2")
SCENES = "synthetic:base?size=64&length=4&stuff_regions=1"


@dataclass(frozen=True)
class Case:
    """A command, the files that must be equal, and how it is typed again."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    recipe: str = ""
    again: tuple[str, ...] = ()


CASES = {
    "fit": Case(
        (*FIT, "--size", "32", "--templates", "name", "--out", "p.safetensors", *RETENTION),
        ("p.safetensors",),
    ),
    "evaluate": Case(
        ("evaluate", "scenes", "--model", "model", "--json", "e.json", "--csv", "e.csv"),
        ("e.json", "e.csv"),
    ),
    "segment": Case(
        ("segment", "scenes/images", "--model", "model", "--vocab", "star, grass"),
        ("segmented/labels/0.png", "segmented/labels/2.png", "segmented/vocabulary.json"),
    ),
    "mine": Case(
        (*MINE, "--model", "model", "--out", "m.jsonl", "--no-cache"),
        ("m.jsonl", "m.stats.json", "m.png"),
    ),
    "rpn": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/prompts.safetensors", "run/metrics.json", "run/evaluations.jsonl"),
        "system: rpn\ndata: scenes\nsplit: all\nmodel: model\nshots: 2\n"
        "fit: {views: 1, short_side: 32, loop: {steps: 2, save_every: 1}}\n"
        "evaluate: {split: all, every: 1, limit: 1}\n",
        ("--resume",),
    ),
    "ovseg/pairs": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model-ft/model.safetensors", "run/prompts.safetensors", "run/metrics.json"),
        "system: ovseg/pairs\ndata: synthetic:base?size=64&length=2\ntemplates: name\n"
        "model: model\nstages: [{mode: ft}, {mode: mpt, depth: 2}]\nsteps: 2\nbatch: 4\n"
        "save_every: 1\nevaluate: synthetic:base?size=64&length=2\n",
        ("--resume",),
    ),
    "ovseg/maskformer": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        "system: ovseg/maskformer\npreset: tiny\nsteps: 2\nbatch: 2\nfeedforward: 16\n"
        "class_hidden: 16\ndecoder_layers: 1\ncrop: 64\nshorts: [64]\ndense_size: 64\n"
        "templates: name\ndata: scenes\nsplit: null\ntext: model\nsave_every: 1\n",
        ("--resume",),
    ),
    "zoo/clip_vit": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        "system: zoo/clip_vit\nvision_width: 32\nvision_layers: 2\nvision_heads: 2\n"
        "text_width: 32\ntext_layers: 2\ntext_heads: 2\nprojection_dim: 16\nvocab_size: 700\n"
        "num_crops: 24\nnum_scenes: 6\nscene_size: 64\nscene_windows: [48, 64]\nsteps: 2\n"
        "crops_per_step: 6\nscenes_per_step: 2\nwarmup: 1\nprecision: fp32\ndevice: cpu\n"
        "save_every: 1\n",
        ("--resume",),
    ),
    "zoo/seem": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        f'system: zoo/seem\nname: seem-test\ndata: "{SCENES}"\nembed_dim: 8\n'
        "depths: [1, 1, 1, 1]\nhidden: 32\nnum_heads: 4\nfeedforward: 64\ndecoder_layers: 3\n"
        "num_queries: 6\ngroups: 8\nshort_side: 64\ncrop: 64\nbatch: 2\nsteps: 2\nwarmup: 1\n"
        "pixels_per_image: 20\nsave_every: 1\n",
        ("--resume",),
    ),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, labelled: Path, model_folder: str) -> Path:
    """A folder with data and a model, copied for every case."""
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(labelled, folder / "scenes")
    shutil.copytree(model_folder, folder / "model")
    lines = [{"image": f"scenes/images/{i}.png", "caption": "a thing on ground"} for i in range(3)]
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
