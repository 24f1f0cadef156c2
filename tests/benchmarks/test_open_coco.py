"""The case of `benchmarks/open_coco.py` is one that opens, small; the time is a bound with room."""

import sys
from pathlib import Path

import pytest

from segtune.data.formats import open_dataset


@pytest.fixture
def open_coco(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import open_coco

    yield open_coco
    sys.modules.pop("open_coco", None)


def test_opening_costs_little_more_than_json(open_coco, tmp_path: Path) -> None:
    file = open_coco.made_file(tmp_path, images=50, annotations=4000)
    assert len(open_dataset(file)) == 50
    calls = {"plain": lambda: open_coco.one_pass(file), "ours": lambda: open_dataset(file)}
    seconds = open_coco.interleaved_seconds(calls, repeats=5)
    assert seconds["ours"].cpu < 3 * seconds["plain"].cpu  # 0.6 in benchmarks/open_coco.py
