"""The table of tasks, and what holds for all of them."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from segtune.data.samples import Subset
from segtune.errors import DataError, SegtuneError
from segtune.eval.judges import JUDGES
from segtune.eval.judging import ScoredModel, judge
from segtune.eval.reports.html import render_html
from segtune.eval.reports.report import Report, ReportRow, write_csv, write_json
from segtune.types import Sample
from tests.eval.judges.test_promptable import Seen
from tests.eval.worlds import SCENES, Changed, all_but_one, perfect

MODELS = {
    "semantic": ScoredModel(
        in_words=lambda sample: replace(perfect(sample), vocabulary=SCENES.vocabulary)
    ),
    "instance": all_but_one("instance"),
    "regions": all_but_one("instance"),
    "panoptic": all_but_one("panoptic"),
    "places": ScoredModel(look=Seen),
}
"""What each kind of question is answered with."""

TASKS = list(JUDGES)


def test_listing_imports_no_array_library() -> None:
    code = (
        "import sys; from segtune.eval.judges import JUDGES; list(JUDGES); "
        "print([name for name in ('numpy', 'torch', 'scipy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.parametrize("task", TASKS)
def test_headline_and_columns_are_scores_of_the_task(task: str) -> None:
    spec = JUDGES[task]
    result = judge(task, MODELS[spec.asks], SCENES, examples=0)
    summary = result.scores.summary()
    assert set(spec.headline) <= set(summary)
    assert tuple(result.scores.per_class()) == spec.class_columns
    assert all(0 <= value <= 1 or math.isnan(value) for value in summary.values())
    assert (result.confusion is not None) == (task == "semantic")
    assert list(result.image_scores) == [SCENES.sample_id(i) for i in range(5)]


@pytest.mark.parametrize("task", TASKS)
def test_protocol_examples_and_reports(task: str, tmp_path: Path) -> None:
    model = MODELS[JUDGES[task].asks]
    result = judge(task, model, SCENES, examples=3, example_side=40)
    assert result.task == task
    assert result.protocol.num_images == 5
    assert result.protocol.dataset == "synthetic:base"
    assert set(result.protocol.seen) | set(result.protocol.unseen) <= set(SCENES.vocabulary.names)
    assert [example.rank for example in result.examples] == ["worst", "median", "best"]
    for example in result.examples:
        assert example.image.shape == (32, 40, 3)
        assert example.truth.size == example.prediction.size == (32, 40)
        assert example.truth.segments or example.truth.semantic is not None
    again = judge(task, model, SCENES, examples=result.example_ids)
    assert again.example_ids == result.example_ids
    report = Report([ReportRow("a", result), ReportRow("b", again)])
    page = render_html(report)
    assert page.count("<figure>") == 3 * 4
    assert ("<h2>Classes" in page) == bool(JUDGES[task].class_columns)
    write_json(tmp_path / "r.json", report)
    write_csv(tmp_path / "r.csv", report)
    header = (tmp_path / "r.csv").read_text().splitlines()[0]
    columns = [f"{row} {name}" for row in "ab" for name in JUDGES[task].class_columns]
    assert header == ",".join(["class", "group", "kind", *columns])


@pytest.mark.parametrize("task", TASKS)
def test_data_that_cannot_be_scored(task: str) -> None:
    model = MODELS[JUDGES[task].asks]
    empty = Changed(SCENES, [0, 1], instances=(), semantic=None)
    lacking = "label maps" if task == "semantic" else "instance masks"
    with pytest.raises(DataError, match=f"has no {lacking}, which task {task} needs"):
        judge(task, model, empty)
    with pytest.raises(DataError, match="has no images"):
        judge(task, model, Subset(SCENES, []))
    with pytest.raises(SegtuneError, match="has no sample 'x'"):
        judge(task, model, SCENES, examples=["x"])


@pytest.mark.parametrize("task", [task for task in TASKS if task != "semantic"])
def test_an_image_without_objects_among_others(task: str) -> None:
    class Some(Subset):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return sample if index else replace(sample, instances=())

    result = judge(task, MODELS[JUDGES[task].asks], Some(SCENES, [0, 1]), examples=5)
    first = result.image_scores["base-val-00000"]
    assert math.isnan(first) == (task != "panoptic")  # its stuff is still there
