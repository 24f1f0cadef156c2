"""The evaluator benchmark at toy size: both sides agree, one table, one file."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import evaluators


def test_one_table_and_one_file(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(evaluators.torch, "set_num_threads", lambda _: None)
    evaluators.main(["--images", "3", "--json", str(tmp_path / "evaluators.json")])
    printed = capsys.readouterr().out
    assert "areas and boxes known" in printed
    report = json.loads((tmp_path / "evaluators.json").read_text())
    assert {row["what"] for row in report["rows"]} >= set(evaluators.LIMITS)
    assert all(row["apart"] == 0 or row["apart"] < 1e-12 for row in report["rows"])
    assert all(row["segtune_seconds"] >= 0 for row in report["rows"])
    assert report["checks"][-1][0] == "numbers apart"
    assert report["checks"][-1][-1]


def test_inputs_are_the_same_every_time() -> None:
    first, again = (evaluators.make_entries(2, 3) for _ in range(2))
    assert first == again
    truth, results = first
    assert len(truth) == 2 * evaluators.NUM_OBJECTS
    assert len(results) == 2 * evaluators.NUM_PREDS


def test_plain_formulations_agree_with_each_other() -> None:
    image = evaluators.make_panoptic(np.random.default_rng(4))
    assert evaluators.plain_panoptic([image])[1].sum() > 0
    np.testing.assert_allclose(
        evaluators.plain_panoptic([image]), evaluators.segtune_panoptic([image]), rtol=1e-12
    )
