from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest

from segtune.errors import SegtuneError
from segtune.eval.reports.report import Report, ReportRow, write_csv, write_json
from segtune.types import Vocabulary


def test_json_round_trips(report: Report, tmp_path) -> None:
    write_json(tmp_path / "report.json", report)
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read == report.as_dict()
    zero_shot, fitted = read["rows"]
    assert zero_shot["summary"] == report.rows[0].result.scores.summary()
    assert zero_shot["classes"][3]["IoU"] is None
    assert fitted["protocol"]["seeds"] == [1]
    assert read["retention"]["drop"] == report.retention.drop
    assert zero_shot["confusions"]["pairs"][0]["answered"] == "car"


def test_csv_has_a_line_per_class(report: Report, tmp_path) -> None:
    write_csv(tmp_path / "classes.csv", report)
    with (tmp_path / "classes.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == ["sky & sea", "car", "<tree>", "boat"]
    assert float(lines[1]["zero-shot IoU"]) == report.rows[0].result.scores.iou[1]
    assert lines[3]["zero-shot IoU"] == ""
    assert lines[2]["group"] == "unseen"


def test_rows_over_other_vocabularies_share_one_table(report: Report) -> None:
    result = report.rows[0].result
    ids = [3, 1]
    vocabulary = result.vocabulary.subset(ids)
    scores = replace(
        result.scores, iou=result.scores.iou[ids], accuracy=result.scores.accuracy[ids]
    )
    smaller = replace(result, vocabulary=vocabulary, scores=scores, confusion=None)
    table = Report([ReportRow("all", result), ReportRow("two", smaller)]).classes()
    values = {row.name: row.values["two", "IoU"] for row in table}
    assert values["car"] == result.scores.iou[1]
    assert math.isnan(values["<tree>"])


def test_rows_need_names_of_their_own(report: Report) -> None:
    with pytest.raises(SegtuneError, match="at least one row"):
        Report([])
    with pytest.raises(SegtuneError, match="distinct names"):
        Report([report.rows[0], report.rows[0]])


def test_confusions_come_from_the_row_or_its_counts(report: Report) -> None:
    row = report.rows[0]
    own = row.confusion_report()
    assert replace(row, confusions=own).confusion_report() is own
    assert ReportRow("x", replace(row.result, confusion=None)).confusion_report() is None
    assert Vocabulary.of("car").names[0] in {pair.answered for pair in own.pairs}
