"""`segtune align` as typed, and its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segtune.data.pairs import read_pairs
from tests import standins
from tests.cli.conftest import Run
from tests.cli.test_mine import captioned

__all__ = ["captioned"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "uniovseg"
    standins.uniovseg(folder)
    return str(folder)


FREE = ("--proposals", "min_iou=0", "--proposals", "grid=3")


def test_pairs_statistics_and_shards_that_stay(run: Run, captioned: Path, model: str) -> None:
    words = ["align", captioned, "--model", model, "--out", "a.jsonl", "--templates", "name", *FREE]
    outcome = run(*words, "--keep-shards")
    assert outcome.status == 0, outcome.err
    pairs = list(read_pairs("a.jsonl"))
    assert {pair.text for pair in pairs} <= {"star", "grass", "water"}
    assert len(pairs) >= 2
    assert json.loads(Path("a.stats.json").read_text())["pairs"] == len(pairs)
    manifest = Path("a.jsonl.part/manifest.jsonl")
    before = len(manifest.read_text().splitlines())
    outcome = run(*words, "--top-share", "0.1")
    assert outcome.status == 0, outcome.err
    assert not manifest.exists()
    assert before == 4
    assert len(list(read_pairs("a.jsonl"))) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model", "clip-vit-tiny"], "masks are aligned by a Uni-OVSeg"),
        (["--sizes", "64,x"], "'x' is not a whole number from 1 on"),
        (["--top-share", "0"], "0 keeps nothing"),
        (["--proposals", "grid"], "'grid' is not of the form key=value"),
        (["--proposals", "grod=3"], "grod"),
        (["--nouns", "nobody"], "nobody"),
        (["--workers", "0"], "'0' is not a whole number from 1 on"),
        (["--ray-address", "127.0.0.1:1"], "nothing answers at 127.0.0.1:1"),
        (["--max-bad", "2"], "'2' is not a number from 0 to 1"),
    ],
)
def test_mistakes(run: Run, captioned: Path, model: str, words: list[str], expected: str) -> None:
    given = ["align", captioned, "--out", "a.jsonl", "--model", model, *FREE, *words]
    outcome = run(*given)
    assert outcome.status == 2
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("a.jsonl").exists()
