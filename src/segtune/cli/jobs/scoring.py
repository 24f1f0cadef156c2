"""Tables of scores for the terminal, and what a fit costs on a base vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from segtune.cli.loading import first, preferred_split
from segtune.cli.tables import percent, print_table, signed
from segtune.data.formats import open_dataset
from segtune.eval.judges import JUDGES
from segtune.eval.reports.report import ReportRow
from segtune.eval.retention import Retention
from segtune.eval.run import evaluate
from segtune.eval.semantic import SemanticScores
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.types import Dataset

CLASSES_SHOWN = 5


def base_dataset(data: str, *, images: int) -> Dataset:
    """Returns what retention is measured on.

    Args:
        data: what `open_dataset` reads; its split "val" where there is one.
        images: how many of its first images.
    """
    split = preferred_split(data, ("val", "test"))
    return first(open_dataset(data, split=split), images)


def base_retention(
    model: Segmenter, prompts: Prompts, dataset: Dataset, *, progress: bool = True
) -> Retention:
    """Returns the scores of the frozen model and of the prompts on a vocabulary it already knew.

    Both are measured at the resolution of the prompts, without the shift of seen classes, whose
    tags mean something else in this vocabulary.

    Args:
        dataset: see `base_dataset`.
    """
    before, after = (
        evaluate(
            model,
            dataset,
            prompts=learned,
            resolution=prompts.resolution,
            seen_shift=0.0,
            examples=0,
            progress=progress,
        ).scores
        for learned in (None, prompts)
    )
    assert isinstance(before, SemanticScores)
    assert isinstance(after, SemanticScores)
    return Retention(before, after)


def retention_values(retention: Retention, *, data: str, images: int) -> dict[str, Any]:
    """Returns the headline numbers as plain values for a file header, NaN as None."""
    return {
        "data": data,
        "images": images,
        "before": summary_values(retention.before.summary()),
        "after": summary_values(retention.after.summary()),
        "drop": retention.drop,
    }


def summary_values(summary: dict[str, float]) -> dict[str, float | None]:
    """Returns headline scores as plain JSON values, NaN as None."""
    return {name: None if math.isnan(value) else value for name, value in summary.items()}


def print_scores(rows: Sequence[ReportRow], *, title: str) -> None:
    """Prints one line per model or setting, and the classes at both ends of the last one."""
    summaries = [row.result.scores.summary() for row in rows]
    headline = JUDGES.find(rows[0].result.task).headline
    # Groups, such as "AP(unseen)", depend on the data.
    grouped = [name for name in summaries[0] if name.startswith(f"{headline[0]}(")]
    shown = [name for name in (*headline, *grouped) if any(name in row for row in summaries)]
    lines = [
        (row.name, *(percent(summary.get(name, math.nan)) for name in shown))
        for row, summary in zip(rows, summaries, strict=True)
    ]
    print_table(("%", *shown), lines, title=title)
    print_classes(rows)


def print_classes(rows: Sequence[ReportRow]) -> None:
    """Prints the main score of the best and worst classes by the last row, a column per row."""
    names = rows[-1].result.vocabulary.names
    columns_of_task = JUDGES.find(rows[-1].result.task).class_columns
    if not columns_of_task:
        return
    score = columns_of_task[0]
    columns = [row.result.class_columns[score] for row in rows]
    known = [i for i in range(len(names)) if not math.isnan(columns[-1][i])]
    ranked = sorted(known, key=lambda i: -columns[-1][i])
    ends = ranked
    if len(ranked) > 2 * CLASSES_SHOWN:
        ends = ranked[:CLASSES_SHOWN] + ranked[-CLASSES_SHOWN:]
    lines = [(names[i], *(percent(float(column[i])) for column in columns)) for i in ends]
    title = f"{score} per class" + (", best and worst" if len(ends) < len(ranked) else "")
    print_table(("class", *(row.name for row in rows)), lines, title=title)


def print_retention(retention: Retention, *, data: str, images: int) -> None:
    """Prints the scores of the base vocabulary before and after the fit."""
    before, after = retention.before.summary(), retention.after.summary()
    lines = [
        (name, percent(before[name]), percent(after[name]), signed(after[name] - before[name]))
        for name in JUDGES["semantic"].headline
        if name in before
    ]
    title = f"retention: {data}, val, {images} images"
    print_table(("%", "zero-shot", "fitted", "change"), lines, title=title)
