"""A report as one HTML file: style and pictures inside it, nothing loaded from anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from segtune.eval.confusions import ConfusionReport
from segtune.eval.judges import JUDGES
from segtune.eval.reports.html_parts import (
    figure,
    fill,
    folded,
    or_below,
    percent,
    plain,
    section,
    signed_change,
)
from segtune.eval.reports.report import Report, ReportRow
from segtune.eval.result import Example
from segtune.eval.retention import Retention
from segtune.storage.files import atomic_write
from segtune.viz.overlay import draw_overlay, legend_chips

_NUM_TONES = 6
_FIELDS = {
    "dataset": "Data set",
    "split": "Split",
    "num_images": "Images",
    "vocabulary": "Vocabulary",
    "classes": "Classes",
    "seen": "Seen",
    "unseen": "Unseen",
    "templates": "Templates",
    "resolution": "Resolution",
    "shots": "Shots",
    "seeds": "Seeds",
    "selection": "Selection",
    "weights": "Weights",
}
"""Fields of the protocol with their headings, in the order of the table."""

GENERATOR = '<meta name="generator" content="segtune">'
"""Tells reports from other pages."""


def write_html(path: Path | str, report: Report) -> None:
    """Writes the report as a page that opens without a network."""
    with atomic_write(path) as temporary:
        temporary.write_text(render_html(report), encoding="utf-8")


def render_html(report: Report) -> str:
    """Returns the page of `write_html`."""
    style = files("segtune.eval.reports").joinpath("report.css").read_text(encoding="utf-8")
    sections = [
        _header(report),
        _scores(report),
        _retention(report.retention) if report.retention else "",
        _pictures(report),
        _classes(report),
        _confusions(report.rows),
        _protocol(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{GENERATOR}\n<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    """Title, what was evaluated, and the notes."""
    protocol = report.rows[0].result.protocol
    facts = {
        "data": f"{protocol.dataset}, {protocol.split}",
        "images": f"{protocol.num_images:,}",
        "classes": f"{len(report.classes()):,}",
        "task": report.rows[0].result.task,
    }
    items = "".join(f"<li>{name} <b>{escape(value)}</b></li>" for name, value in facts.items())
    notes = "".join(f'<p class="lead">{escape(note)}</p>' for note in report.notes)
    return (
        f'<header><p class="eyebrow">segtune report</p><h1>{escape(report.title)}</h1>'
        f'{notes}<ul class="facts">{items}</ul></header>\n'
    )


def _scores(report: Report) -> str:
    """The headline table: one line per row, changes against the first."""
    metrics = report.metrics()
    summaries = [row.result.scores.summary() for row in report.rows]
    best = {m: max((s.get(m, math.nan) for s in summaries), key=or_below) for m in metrics}
    lines = []
    for i, (row, summary) in enumerate(zip(report.rows, summaries, strict=True)):
        cells = [f'<td class="name"><span class="dot"></span>{escape(row.name)}</td>']
        for j, metric in enumerate(metrics):
            value = summary.get(metric, math.nan)
            kind = "number main" if j == 0 else "number"
            if len(report.rows) > 1 and value == best[metric]:
                kind += " best"
            text = percent(value)
            change = signed_change(value - summaries[0].get(metric, math.nan)) if i else ""
            if j == 0:
                text = f'{change}{text}<div class="scale">{fill(value)}</div>'
            else:
                text += change
            cells.append(f'<td class="{kind}">{text}</td>')
        lines.append(f'<tr class="tone-{i % _NUM_TONES}">{"".join(cells)}</tr>')
    heads = "".join(f'<th class="number">{escape(metric)}</th>' for metric in metrics)
    lead = JUDGES.find(report.rows[0].result.task).lead
    if len(report.rows) > 1:
        lead += f" Changes are against {report.rows[0].name}."
    return section(
        "Scores",
        lead,
        f'<div class="card"><table class="scores"><tr><th></th>{heads}</tr>'
        f"{''.join(lines)}</table></div>",
    )


def _retention(retention: Retention) -> str:
    """The base vocabulary before and after the fit."""
    before, after = retention.before.summary(), retention.after.summary()
    scores = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{percent(before[name])}</td>'
        f'<td class="number best">{percent(after[name])}</td>'
        f'<td class="number">{signed_change(after[name] - before[name])}</td></tr>'
        for name in before
    )
    changes = [row for row in retention.classes() if not math.isnan(row.change)]
    shown = changes if len(changes) <= 12 else [*changes[:6], *changes[-4:]]
    classes = "".join(
        f'<tr><td>{escape(row.name)}</td><td class="number">{percent(row.before)}</td>'
        f'<td class="number best">{percent(row.after)}</td>'
        f'<td class="number">{signed_change(row.change)}</td></tr>'
        for row in shown
    )
    heads = '<th class="number">before</th><th class="number">after</th><th class="number"></th>'
    title = "Classes" if shown == changes else "Classes: largest losses and gains"
    return section(
        "Retention",
        "The vocabulary that the frozen model already knew, before and after the fit.",
        '<div class="grid">'
        f'<div class="card"><h3>Scores</h3><table class="pair"><tr><th></th>{heads}</tr>'
        f"{scores}</table></div>"
        f'<div class="card"><h3>{title}</h3><table class="pair"><tr><th></th>{heads}</tr>'
        f"{classes}</table></div></div>",
    )


def _pictures(report: Report) -> str:
    """Image, truth and the answer of every row, for each kept example."""
    by_id: dict[str, list[tuple[str, Example]]] = {}
    for row in report.rows:
        for example in row.result.examples:
            by_id.setdefault(example.sample_id, []).append((row.name, example))
    blocks = []
    for sample_id, answers in by_id.items():
        first = answers[0][1]
        figures = [figure(first.image, "image", "", quality=85)]
        truth = draw_overlay(first.image, first.truth, legend=False)
        figures.append(figure(truth, "truth", ""))
        for name, example in answers:
            picture = draw_overlay(example.image, example.prediction, legend=False)
            figures.append(figure(picture, name, percent(example.score)))
        chips = legend_chips(first.truth, *(e.prediction for _, e in answers), shares=False)
        legend = "".join(
            f'<span><span class="swatch" style="background:rgb{chip.color}"></span>'
            f"{escape(chip.name)}</span>"
            for chip in chips
        )
        blocks.append(
            f'<article><h3 class="sample">{escape(sample_id)}<span>{escape(first.rank)}</span></h3>'
            f'<div class="strip">{"".join(figures)}</div>'
            f'<div class="legend">{legend}</div></article>'
        )
    if not blocks:
        return ""
    return section(
        "Pictures",
        "From the worst image to the best; the number is the score of the image alone.",
        f'<div class="pictures">{"".join(blocks)}</div>',
    )


def _classes(report: Report) -> str:
    """Bars of the first per-class score of every row."""
    if not report.columns():
        return ""
    score = report.columns()[0][1]
    legend = "".join(
        f'<span class="tone-{i % _NUM_TONES}"><span class="dot"></span>{escape(row.name)}</span>'
        for i, row in enumerate(report.rows)
    )
    entries = []
    for row in report.classes():
        bars = "".join(
            f'<div class="bar tone-{i % _NUM_TONES}"><div class="track">'
            f'{fill(value)}</div><div class="value">{percent(value)}</div></div>'
            for i, other in enumerate(report.rows)
            for value in (row.values.get((other.name, score), math.nan),)
        )
        tag = f'<span class="tag">{escape(row.group)}</span>' if row.group else ""
        entries.append(
            f'<div class="class"><div class="label">{escape(row.name)}{tag}</div>'
            f'<div class="bars">{bars}</div></div>'
        )
    return section(
        "Classes",
        f"{score} per class in percent; a dash where there is nothing to score.",
        f'<div class="card"><div class="legend">{legend}</div>'
        f'<div class="classes">{"".join(entries)}</div></div>',
    )


def _confusions(rows: Sequence[ReportRow]) -> str:
    """The worst confusions of every row that has counts."""
    cards = [
        f'<div class="card tone-{i % _NUM_TONES}"><h3><span class="dot"></span>'
        f"{escape(row.name)}</h3>{_confusion_table(confusions)}</div>"
        for i, row in enumerate(rows)
        if (confusions := row.confusion_report()) is not None and confusions.pairs
    ]
    if not cards:
        return ""
    return section(
        "Confusions",
        "What is answered instead of the truth, by pixels; the number is the share of the true "
        "class that is lost.",
        f'<div class="grid">{"".join(cards)}</div>',
    )


def _confusion_table(confusions: ConfusionReport) -> str:
    """Pairs, the greediest names, and names that mean the same to the text encoder."""
    pairs = "".join(
        f'<tr><td>{escape(pair.truth)}<span class="arrow">→</span>{escape(pair.answered)}</td>'
        f'<td><div class="scale">{fill(pair.share)}</div></td>'
        f'<td class="number">{percent(pair.share)}</td></tr>'
        for pair in confusions.pairs[:10]
    )
    greedy = "".join(
        f"<li><b>{escape(absorber.name)}</b> takes {percent(absorber.share)} % of all errors, "
        f"most from {escape(', '.join(name for name, _ in absorber.victims))}</li>"
        for absorber in confusions.absorbers[:3]
    )
    twins = "".join(
        f"<li>{escape(pair.first)} and {escape(pair.second)} are nearly the same words to the "
        f"text encoder (cosine {pair.similarity:.3f})</li>"
        for pair in confusions.near_duplicates
    )
    return f'<table class="pair">{pairs}</table><ul class="quiet">{greedy}{twins}</ul>'


def _protocol(report: Report) -> str:
    """How the numbers came about; one column where all rows agree."""
    protocols = [row.result.protocol.as_dict() for row in report.rows]
    extra = dict.fromkeys(name for protocol in protocols for name in protocol["extra"])
    lines = []
    for field, heading in _FIELDS.items():
        lines.append((heading, [plain(protocol[field]) for protocol in protocols]))
    for name in extra:
        lines.append((name, [plain(protocol["extra"].get(name)) for protocol in protocols]))
    body = ""
    for heading, values in lines:
        if not any(values):
            continue
        if len(set(values)) == 1:
            cells = f'<td colspan="{len(values)}">{folded(values[0])}</td>'
        else:
            cells = "".join(f"<td>{folded(value)}</td>" for value in values)
        body += f'<tr><th scope="row">{escape(heading)}</th>{cells}</tr>'
    heads = "".join(
        f'<th class="tone-{i % _NUM_TONES}"><span class="dot"></span>{escape(row.name)}</th>'
        for i, row in enumerate(report.rows)
    )
    command = f'<h3 class="repeat">Repeat it</h3><pre>{escape(report.command)}</pre>'
    return section(
        "Protocol",
        "Numbers can be compared where these lines agree.",
        f'<div class="card"><table class="protocol"><tr><th></th>{heads}</tr>{body}</table></div>'
        + (command if report.command else ""),
    )
