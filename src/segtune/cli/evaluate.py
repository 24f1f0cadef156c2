"""`segtune evaluate`: scores of a model, with and without prompts, as a table and as reports."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import get_args

from segtune.cli.jobs.scoring import base_dataset, base_retention, print_retention, print_scores
from segtune.cli.loading import (
    first,
    layout_options,
    open_labelled,
    open_model,
    open_prompts,
    open_system,
    preferred_split,
    print_survey,
    resolution_of,
)
from segtune.data.formats import read_vocabulary
from segtune.data.protocols import layout_for, open_for, with_protocol
from segtune.errors import SegtuneError, one_line
from segtune.eval.judges import JUDGES
from segtune.eval.reports.html import GENERATOR, write_html
from segtune.eval.reports.report import FORMAT, Report, ReportRow, write_csv, write_json
from segtune.eval.result import EvaluationResult
from segtune.eval.run import evaluate
from segtune.prompts import Prompts
from segtune.storage.outputs import Output, begins, check_outputs
from segtune.types import Dataset
from segtune.vocabulary.builtin import NameStyle
from segtune.vocabulary.protocols import Protocol, find_protocol
from segtune.vocabulary.scoring_map import ScoringMap

SOME_FAILED = 1
"""Exit status where some images could not be read."""
EVALUATED = ("val", "test")
"""Splits to take where none is named, the first that exists."""
EXAMPLES = 6
"""Images shown in the HTML report."""


def run(options: Namespace) -> int:
    """Scores the model, and the prompts where given, and writes the reports asked for."""
    if options.retention and options.prompts is None:
        raise SegtuneError("--retention compares before and after a fit; add --prompts FILE")
    protocol = None if options.protocol is None else find_protocol(options.protocol)
    task = JUDGES.find(options.task or (protocol.task if protocol is not None else "semantic"))
    if options.prompts is not None and not task.takes_prompts:
        raise SegtuneError(
            "clicks and boxes are answered by the frozen model alone; leave --prompts out, or "
            "choose another --task"
        )
    if options.min_score is not None and not task.takes_min_score:
        *names, last = (name for name, other in JUDGES.items() if other.takes_min_score)
        raise SegtuneError(
            f"--min-score is about segments; add --task {', '.join(names)} or {last}"
        )
    check_outputs(_outputs(options), force=options.force, inputs=_inputs(options))
    prompts = open_prompts(options)
    dataset = _dataset(options, protocol)
    scoring = _scoring(options, protocol, dataset)
    dataset = first(dataset, options.limit)
    print_survey(dataset)
    base = None
    if prompts is not None and options.retention:
        base = base_dataset(options.retention_data, images=options.retention)
    model = open_model(options, prompts)
    resolution = resolution_of(options, model, prompts)
    system = open_system(options, model, prompts, protocol)
    examples = EXAMPLES if options.html else 0
    bad: dict[str, None] = {}  # in order, and once for both rows
    zero_shot = evaluate(
        model,
        dataset,
        task=task.name,
        system=system if prompts is None else None,
        resolution=resolution,
        min_score=options.min_score,
        scoring=scoring,
        examples=examples,
        on_bad=bad.setdefault,
    )
    rows = [ReportRow("zero-shot", zero_shot)]
    if prompts is not None:
        fitted = evaluate(
            model,
            dataset,
            task=task.name,
            prompts=prompts,
            system=system,
            resolution=resolution,
            min_score=options.min_score,
            scoring=scoring,
            examples=zero_shot.example_ids,
            on_bad=bad.setdefault,
        )
        rows.append(ReportRow(_row_name(prompts), fitted))
    print_scores(rows, title=_title(rows[-1].result))
    retention = None
    if prompts is not None and base is not None:
        retention = base_retention(model, prompts, base)
        print_retention(retention, data=options.retention_data, images=options.retention)
    report = Report(
        rows,
        retention=retention,
        title=f"{dataset.name}, {dataset.split}",
        command=options.command,
    )
    _write(report, options)
    for problem in bad:
        print(one_line(f"segtune: {problem}"), file=sys.stderr)
    if bad:
        print(f"segtune: {len(bad)} of {len(dataset)} images left out", file=sys.stderr)
    return SOME_FAILED if bad else 0


def _outputs(options: Namespace) -> list[Output]:
    """Returns the reports asked for."""
    marks = {
        "--json": (options.json, begins(f'{{\n "format": "{FORMAT}"'.encode())),
        "--csv": (options.csv, begins(b"class,group,kind")),
        "--html": (options.html, begins(b"<!doctype html>", within=GENERATOR.encode())),
    }
    given = ((path, is_ours, option) for option, (path, is_ours) in marks.items())
    return [Output(*each) for each in given if each[0] is not None]


def _inputs(options: Namespace) -> tuple[str | Path | None, ...]:
    """Returns the options that may name files to read."""
    return (options.data, options.prompts, options.model, options.names, options.vocab)


def _dataset(options: Namespace, protocol: Protocol | None) -> Dataset:
    """Returns the data of the protocol, tagged; without one, that of the options as it is."""
    if protocol is None:
        return open_labelled(options, prefer=EVALUATED)
    layout = layout_for(protocol, options.data, options.layout)
    if options.vocab is not None and layout != protocol.layout:
        return with_protocol(open_labelled(options, prefer=EVALUATED), protocol)
    if options.vocab is not None:
        raise SegtuneError(
            f"protocol {protocol.name} names the classes of its data; leave --vocab out, or call "
            "them otherwise with --names"
        )
    split = options.split or preferred_split(options.data, EVALUATED, layout=layout)
    return open_for(
        protocol,
        options.data,
        layout=layout,
        split=split,
        options=layout_options(options),
        skip_bad=options.skip_bad,
    )


def _scoring(options: Namespace, protocol: Protocol | None, dataset: Dataset) -> ScoringMap | None:
    """Returns the words of the protocol and of `--names`; None for the class names."""
    names = options.names
    if names in get_args(NameStyle) or names is None:
        if protocol is not None:
            return protocol.scoring_map(names or "synonyms")
        if names not in (None, "synonyms"):
            raise SegtuneError(
                f"--names {names} is about the lists of the benchmarks; add --protocol"
            )
        return None
    plain = ScoringMap.same_order(dataset.vocabulary, dataset.vocabulary)
    own = plain if protocol is None else protocol.scoring_map()
    return own.called(read_vocabulary(names))


def _title(result: EvaluationResult) -> str:
    """Returns what was evaluated and how, in one line."""
    protocol = result.protocol
    facts = [f"{protocol.num_images} images", f"{len(result.vocabulary)} classes"]
    if result.task != "semantic":
        facts.insert(0, f"task {result.task}")
    if protocol.templates is not None:
        facts.append(f"templates {protocol.templates}")
    return f"{protocol.dataset}, {protocol.split}: {', '.join(facts)}, {protocol.resolution}"


def _row_name(prompts: Prompts) -> str:
    shots = prompts.training.get("shots")
    return prompts.system if shots is None else f"{prompts.system}, {shots} shots"


def _write(report: Report, options: Namespace) -> None:
    writers = {options.json: write_json, options.csv: write_csv, options.html: write_html}
    for path, write in writers.items():
        if path is not None:
            write(path, report)
            print(f"wrote {path}")
