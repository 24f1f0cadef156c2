"""`segtune demo`: new words for a frozen model from sixteen images, offline, with a report.

The world `jargon` shows things that the bundled model knows under names that it has never read, so
zero-shot segmentation must fail on them and a fit has something to teach; the surfaces keep their
names. What the model knew before is scored too, because a fit that forgets it is a bad trade.
"""

from __future__ import annotations

import json
import math
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segtune.backbones.hub import DEFAULT_MODEL
from segtune.cli.jobs.scoring import (
    base_dataset,
    base_retention,
    print_retention,
    print_scores,
    retention_values,
    summary_values,
)
from segtune.cli.loading import file_size, first
from segtune.cli.tables import percent, print_table
from segtune.data.formats import open_dataset
from segtune.eval.reports.html import write_html
from segtune.eval.reports.report import Report, ReportRow
from segtune.eval.retention import Retention
from segtune.eval.run import evaluate
from segtune.fewshot.config import default_config
from segtune.fewshot.fit import fit
from segtune.predict.segmenter import Segmenter, load
from segtune.prompts import Prompts
from segtune.storage.files import atomic_write
from segtune.storage.images import write_image
from segtune.storage.locks import locked
from segtune.storage.outputs import begins, check_folder
from segtune.systems import default_system
from segtune.viz.panels import draw_comparison

WORLD, BASE, SHOTS = "synthetic:jargon", "synthetic:base", 16
PROMPTS, METRICS, REPORT = "jargon.safetensors", "metrics.json", "report.html"
FILES = (PROMPTS, METRICS, REPORT, "images", "overlays")


@dataclass(frozen=True)
class Size:
    """How much of everything: optimiser steps, scored images, pictures."""

    steps: int = 300
    images: int = 40
    base_images: int = 20
    examples: int = 6


QUICK = Size(steps=60, images=8, base_images=4, examples=3)


def run(options: Namespace) -> int:
    """Tells the story and leaves a report, pictures, prompts and numbers in `--out`."""
    out: Path = options.out
    check_folder(out, writes=FILES, is_ours=is_demo, force=options.force)
    with locked(out):
        return _tell(options, out)


def is_demo(folder: Path) -> bool:
    """Whether a demo was told in a folder."""
    return begins(b'{\n  "data": "synthetic:jargon"')(folder / METRICS)


def _tell(options: Namespace, out: Path) -> int:
    size = QUICK if options.quick else Size()
    began = time.perf_counter()
    model = load(options.model or DEFAULT_MODEL)
    # The defaults of a fit were chosen on `val`; the numbers shown are of `test`.
    scenes = first(open_dataset(WORLD, split="test"), size.images)
    name, words = model.backbone.name, ", ".join(scenes.vocabulary.names[:3])
    print(f"1/4  {name} on {model.backbone.device} meets words it never read: {words}, ...")
    zero_shot = ReportRow("zero-shot", evaluate(model, scenes, examples=size.examples))

    system = default_system(model.backbone.kind)
    print(f"2/4  {system} learns them from {SHOTS} labelled scenes; the model stays frozen")
    prompts = _learn(model, size, seed=options.seed)
    ids = zero_shot.result.example_ids
    fitted = ReportRow("fitted", evaluate(model, scenes, prompts=prompts, examples=ids))

    print(f"3/4  what that costs on the words that the model knew, {BASE}")
    retention = base_retention(model, prompts, base_dataset(BASE, images=size.base_images))

    print("4/4  report\n")
    metrics = _metrics(zero_shot, fitted, retention, size)
    prompts = replace(prompts, metrics=metrics)
    prompts.save(out / PROMPTS)
    _write_metrics(out / METRICS, metrics | {"learned": prompts.num_learned()})
    _write_pictures(out, zero_shot, fitted)
    _write_report(out / REPORT, [zero_shot, fitted], retention, prompts, options.command)

    print_scores([zero_shot, fitted], title=f"{WORLD}, {scenes.split}, {len(scenes)} images")
    rows = [(row.name, *map(percent, _by_words(row).values())) for row in (zero_shot, fitted)]
    print_table(("mIoU", "new words", "known words"), rows)
    print_retention(retention, data=BASE, images=size.base_images)
    learned = f"{prompts.num_learned():,} learned numbers, {file_size(out / PROMPTS)}"
    print(f"\n{learned}, {time.perf_counter() - began:.0f} s")
    print(f"wrote {out / REPORT}, {out / METRICS}, {out / 'overlays'}, {out / 'images'}")
    print(f"try   segtune segment {out / 'images'} --prompts {out / PROMPTS} --out {out / 'again'}")
    return 0


def _learn(model: Segmenter, size: Size, *, seed: int) -> Prompts:
    system = default_system(model.backbone.kind)
    config = default_config(system)
    config = replace(config, loop=replace(config.loop, steps=size.steps), rate_factors=())
    return fit(model, WORLD, system=system, shots=SHOTS, seed=seed, config=config)


def _by_words(row: ReportRow) -> dict[str, float]:
    """Returns the mean IoU of the new words, which are the things, and of the known ones."""
    vocabulary, iou = row.result.vocabulary, row.result.scores.per_class()["IoU"]
    is_new = np.array([concept.kind == "thing" for concept in vocabulary])
    return {"new words": _mean(iou[is_new]), "known words": _mean(iou[~is_new])}


def _mean(iou: np.ndarray) -> float:
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if len(known) else math.nan


def _metrics(
    zero_shot: ReportRow, fitted: ReportRow, retention: Retention, size: Size
) -> dict[str, Any]:
    """Returns the numbers of the story as plain values, equal for equal seeds."""
    return {
        "data": WORLD,
        "images": size.images,
        "zero_shot": summary_values(zero_shot.result.scores.summary() | _by_words(zero_shot)),
        "fitted": summary_values(fitted.result.scores.summary() | _by_words(fitted)),
        "retention": retention_values(retention, data=BASE, images=size.base_images),
    }


def _write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _write_pictures(out: Path, zero_shot: ReportRow, fitted: ReportRow) -> None:
    """Writes the example scenes, and for each a sheet: image, truth, zero-shot, fitted.

    Those of an earlier demo in the same folder are removed.
    """
    for folder in ("images", "overlays"):
        for old in (out / folder).glob("jargon-*.png"):
            old.unlink()
    for before, after in zip(zero_shot.result.examples, fitted.result.examples, strict=True):
        write_image(out / "images" / f"{before.sample_id}.png", before.image)
        sheet = draw_comparison(
            before.image,
            {"truth": before.truth, "zero-shot": before.prediction, "fitted": after.prediction},
            notes={"zero-shot": f"{before.score:.0%}", "fitted": f"{after.score:.0%}"},
        )
        write_image(out / "overlays" / f"{before.sample_id}.png", sheet)


def _write_report(
    path: Path,
    rows: Sequence[ReportRow],
    retention: Retention,
    prompts: Prompts,
    command: str,
) -> None:
    notes = (
        f"A frozen {prompts.model} met {len(prompts.vocabulary)} classes, half of them under names "
        f"that its text encoder never read. From {SHOTS} labelled scenes, "
        f"{prompts.num_learned():,} numbers were learned beside it; its own weights stayed as they "
        "were.",
        "World and model are small and synthetic: this shows the mechanism, not a quality on "
        "photographs.",
    )
    write_html(
        path,
        Report(
            list(rows),
            retention=retention,
            notes=notes,
            title="New words from sixteen images",
            command=command,
        ),
    )
