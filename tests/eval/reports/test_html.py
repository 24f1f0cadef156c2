from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from segtune.eval.reports.html import render_html, write_html
from segtune.eval.reports.report import Report, ReportRow
from segtune.eval.semantic import ConfusionMatrix

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects attributes and text; fails on tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_page_is_whole_and_loads_nothing(report: Report, tmp_path) -> None:
    write_html(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checker = parsed(page)
    # two examples of image, truth and two rows, all inside the page
    assert len(checker.links) == 8
    assert all(link.startswith("data:image/jpeg;base64,") for link in checker.links)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link", page.split("base64")[0])
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert page == render_html(report)


def test_page_says_what_the_report_says(report: Report) -> None:
    checker = parsed(render_html(report))
    text = " ".join(checker.text)
    for expected in ("Tiny <world>", "A note & more.", "zero-shot", "4 shots", "<tree>"):
        assert expected in text
    for expected in ("Retention", "Confusions", "Protocol", "tiny <1>", "shift", "worst", "best"):
        assert expected in text
    assert "segtune evaluate synthetic:tiny" in text
    assert f"{100 * report.rows[0].result.scores.mean_iou:.1f}" in text


def test_bare_reports_leave_sections_out(report: Report) -> None:
    bare = replace(report.rows[1].result, examples=(), confusion=None)
    text = " ".join(parsed(render_html(Report([ReportRow("only", bare)]))).text)
    for absent in ("Retention", "Pictures", "Confusions", "Repeat it", "Changes are"):
        assert absent not in text


def test_reports_without_any_score_still_render(report: Report) -> None:
    row = report.rows[0]
    empty = ConfusionMatrix(4).scores(row.result.vocabulary)
    assert np.isnan(empty.mean_iou)
    result = replace(row.result, scores=empty, examples=(), confusion=ConfusionMatrix(4))
    parsed(render_html(Report([ReportRow("a", result), ReportRow("b", result)])))


@pytest.mark.parametrize("num_rows", [1, 7])
def test_any_number_of_rows(report: Report, num_rows: int) -> None:
    rows = [replace(report.rows[0], name=f"row {i}") for i in range(num_rows)]
    assert len(parsed(render_html(Report(rows))).links) == 2 * (2 + num_rows)
