"""The cost benchmark of the mask decoder at toy size: both ways are measured and agree."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import mask_decoder_cost


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("cost") / "cost.json"
    mask_decoder_cost.main(["--quick", "--threads", "1", "--json", str(file)])
    return json.loads(file.read_text())


def test_everything_is_measured(report):
    rows = {row["way"]: row for row in report["rows"]}
    assert list(rows) == ["plain", "segtune", "everything"]
    assert all(row["seconds"] > 0 for row in rows.values())
    assert report["notes"]["masks kept by everything"] > 0
    assert report["notes"]["bytes of all masks at the input"] == 16 * 4 * 128 * 128 * 4


def test_both_ways_give_the_same(report):
    equal = [check for check in report["checks"] if "limit" not in check]
    assert len(equal) == 4
    assert all(check["met"] for check in equal)


def test_full_sizes_are_those_of_the_released_model():
    assert mask_decoder_cost.FULL.enlarged_bytes == 1600 * 1024 * 1024 * 4
    assert mask_decoder_cost.FULL.config.decoder_layers == 9
