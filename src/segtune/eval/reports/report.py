"""A comparison of evaluations as JSON and CSV; the HTML page is in `html`.

A report has one row per model or setting, for example "zero-shot" and "16 shots", all over the same
split. Numbers are written as fractions 0..1 with full precision, NaN as null (JSON) or empty (CSV).
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segtune.errors import SegtuneError
from segtune.eval.confusions import ConfusionReport, confusion_report
from segtune.eval.result import EvaluationResult
from segtune.eval.retention import Retention
from segtune.storage.files import atomic_write
from segtune.types import Concept

FORMAT = "segtune-report/1"


@dataclass(frozen=True)
class ReportRow:
    """One evaluated model or setting.

    Attributes:
        confusions: made with text embeddings, say; None takes it from the counts of the result.
    """

    name: str
    result: EvaluationResult
    confusions: ConfusionReport | None = None

    def confusion_report(self) -> ConfusionReport | None:
        """Returns the given confusions, or those of the counts; None for tasks without counts."""
        if self.confusions is not None or self.result.confusion is None:
            return self.confusions
        return confusion_report(self.result.confusion, self.result.vocabulary)


@dataclass(frozen=True)
class ClassRow:
    """Scores of one class: (row name, score name) -> 0..1, NaN where unknown."""

    name: str
    group: str
    kind: str
    values: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Report:
    """Everything that goes into a report.

    Attributes:
        rows: at least one, with distinct names; the first is the one to compare with.
        retention: the base vocabulary before and after the fit.
        notes: sentences for the reader.
        command: what to type to make the report again.
    """

    rows: list[ReportRow]
    retention: Retention | None = None
    notes: tuple[str, ...] = ()
    title: str = "Evaluation"
    command: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise SegtuneError("a report needs at least one row")
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise SegtuneError(f"the rows of a report need distinct names, not {names}")

    def metrics(self) -> list[str]:
        """Returns the headline scores that occur in any row, in order."""
        return list(dict.fromkeys(m for row in self.rows for m in row.result.scores.summary()))

    def columns(self) -> list[tuple[str, str]]:
        """Returns the (row, score) columns of the per-class table."""
        return [(row.name, score) for row in self.rows for score in row.result.class_columns]

    def classes(self) -> list[ClassRow]:
        """Returns the per-class table over the class names of all rows."""
        concepts: dict[str, Concept] = {}
        columns = self.columns()
        values: dict[str, dict[tuple[str, str], float]] = {}
        for row in self.rows:
            scores = row.result.class_columns
            for i, concept in enumerate(row.result.vocabulary):
                concepts.setdefault(concept.name, concept)
                cells = values.setdefault(concept.name, dict.fromkeys(columns, math.nan))
                cells |= {(row.name, name): float(column[i]) for name, column in scores.items()}
        return [
            ClassRow(name, concept.group or "", concept.kind, values[name])
            for name, concept in concepts.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Returns the report, pictures left out, as plain JSON values."""
        return _plain(
            {
                "format": FORMAT,
                "title": self.title,
                "command": self.command,
                "notes": self.notes,
                "rows": [_row_dict(row) for row in self.rows],
                "retention": None if self.retention is None else _retention_dict(self.retention),
            }
        )


def write_json(path: Path | str, report: Report) -> None:
    """Writes all numbers and protocols of a report."""
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path | str, report: Report) -> None:
    """Writes one line per class with one column per row and score, such as "zero-shot IoU"."""
    header = ["class", "group", "kind", *(" ".join(column) for column in report.columns())]
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in report.classes():
            values = ("" if math.isnan(value) else value for value in row.values.values())
            writer.writerow([row.name, row.group, row.kind, *values])


def _row_dict(row: ReportRow) -> dict[str, Any]:
    """Returns one row as nested dictionaries."""
    result, confusions = row.result, row.confusion_report()
    return {
        "name": row.name,
        "task": result.task,
        "summary": result.scores.summary(),
        "protocol": result.protocol.as_dict(),
        "classes": result.class_table(),
        "images": result.image_scores,
        "confusions": None if confusions is None else asdict(confusions),
        "seconds": result.seconds,
    }


def _retention_dict(retention: Retention) -> dict[str, Any]:
    """Returns the retention as nested dictionaries."""
    return {
        "before": retention.before.summary(),
        "after": retention.after.summary(),
        "drop": retention.drop,
        "seen_drop": retention.seen_drop,
        "unseen_drop": retention.unseen_drop,
        "classes": [asdict(row) | {"change": row.change} for row in retention.classes()],
    }


def _plain(value: Any) -> Any:
    """Returns `value` with tuples as lists and NaN as None, so that JSON gives back the same."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
