"""The benchmark of instance evaluation at toy size: all sides agree, two tables, one file."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import instance_eval


def test_two_tables_and_one_file(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(instance_eval.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(instance_eval, "COMPARED_IMAGES", 2)
    file = tmp_path / "instances.json"
    instance_eval.main(["--images", "3", "--open-world-images", "3", "--json", str(file)])
    assert "numbers apart" in capsys.readouterr().out
    report = json.loads(file.read_text())
    by = [row["by"] for row in report["rows"]]
    assert by[0] == "pycocotools"
    assert by[-1] == "segtune"
    assert all(row["apart"] < 1e-12 for row in report["rows"])
    assert report["checks"][-1][0] == "numbers apart"
    assert report["checks"][-1][-1]


def test_plain_recall_tells_classes_apart() -> None:
    plain = instance_eval.plain_open_world(2)
    assert plain.shape == (10, 1203, 4)
    present = (plain[0, :, 0] > -1).nonzero()[0]
    assert 2 <= len(present) <= 2 * instance_eval.CLASSES_PER_IMAGE
    assert np.diff(plain[:, present], axis=-1).min() >= 0  # a larger limit finds no less
    assert plain[:, present].max() > 0


def test_inputs_are_the_same_every_time() -> None:
    first, again = (list(instance_eval.open_world_images(2)) for _ in range(2))
    assert first == again
    assert len(instance_eval.lvis_vocabulary().ids_in("unseen")) == 337
