from __future__ import annotations

import pytest

from segtune.eval.judging import ScoredModel, judge
from segtune.eval.reports.report import Report, ReportRow
from segtune.eval.result import EvaluationProtocol
from segtune.eval.retention import Retention
from tests.eval.worlds import Tiny, perfect, wrong_by_index


@pytest.fixture(scope="module")
def report() -> Report:
    """A report of two rows with pictures, retention, notes and a command."""
    before = judge("semantic", ScoredModel(in_words=wrong_by_index), Tiny(), examples=2)
    protocol = EvaluationProtocol(shots=4, seeds=(1,), weights="tiny <1>", extra={"shift": 0.1})
    after = judge(
        "semantic",
        ScoredModel(in_words=perfect),
        Tiny(),
        examples=before.example_ids,
        protocol=protocol,
    )
    return Report(
        [ReportRow("zero-shot", before), ReportRow("4 shots", after)],
        retention=Retention(before.scores, after.scores),
        notes=("A note & more.",),
        title="Tiny <world>",
        command="segtune evaluate synthetic:tiny",
    )
