"""The cost benchmark of Mask2Former at toy size: both ways are measured and agree."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import mask2former_cost


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("cost") / "cost.json"
    mask2former_cost.main(["--quick", "--repeats", "1", "--threads", "1", "--json", str(file)])
    return json.loads(file.read_text())


def test_every_part_is_measured_both_ways(report):
    keys = {(row["part"], row["way"]) for row in report["rows"]}
    assert keys == {(part, way) for part in mask2former_cost.PARTS for way in mask2former_cost.WAYS}
    assert all(row["seconds"] > 0 for row in report["rows"])


def test_both_ways_give_the_same(report):
    equal = [check for check in report["checks"] if "limit" not in check]
    assert len(equal) == 5
    assert all(check["met"] for check in equal)
