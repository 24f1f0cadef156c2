"""`segtune fit`: a prompt file from a few labelled images."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtune.backbones import MODELS
from segtune.backbones.cards import CARDS
from segtune.cli.jobs.scoring import base_dataset, base_retention, print_retention, retention_values
from segtune.cli.loading import file_size, open_labelled, open_model, print_survey
from segtune.cli.options.commands import RETENTION_IMAGES
from segtune.errors import SegtuneError
from segtune.fewshot.config import FitConfig, default_config
from segtune.fewshot.fit import files_of_fit, fit
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.storage.locks import locked
from segtune.storage.outputs import Output, begins, check_outputs
from segtune.storage.registry import resolve
from segtune.systems import SYSTEMS, default_system
from segtune.train.checkpoints import read_state
from segtune.train.step_log import has_diverged
from segtune.types import Dataset, Task

DEFAULT_SHOTS = 16
CHECKPOINTS_PER_RUN = 10
LARGE_DROP = 0.01
"""Fall of the mIoU elsewhere, 0..1, above which a fit says how to lose less."""


def run(options: Namespace) -> int:
    """Fits prompts, measures what they cost elsewhere, and writes the prompt file."""
    out: Path = options.out
    _check_out(out, options)
    with locked(out):
        return _fit(options, out)


def _fit(options: Namespace, out: Path) -> int:
    dataset = open_labelled(options, prefer=("train",))
    print_survey(dataset)
    shots = _shots(options, dataset)
    model = open_model(options)
    system = options.system or default_system(model.backbone.kind)
    num_base = _retention_images(options, model)
    base = base_dataset(options.retention_data, images=num_base) if num_base else None
    if base is not None:
        model.words(base.vocabulary)  # that it cannot read should be known before the fit
    files = files_of_fit(out)
    checkpoint = files.checkpoint
    if checkpoint.is_file() and not has_diverged(files.log):
        print(f"going on from step {read_state(checkpoint)['step']} of {checkpoint}")
    settings = _options_of(system, options)
    began = time.perf_counter()

    def with_retention(prompts: Prompts) -> Prompts:
        print_learned(prompts, dataset, seconds=time.perf_counter() - began)
        if base is None:
            return prompts
        data = options.retention_data
        retention = base_retention(model, prompts, base)
        print_retention(retention, data=data, images=num_base)
        if retention.drop > LARGE_DROP:
            print(_how_to_lose_less(retention.drop, prompts))
        values = retention_values(retention, data=data, images=num_base)
        return replace(prompts, metrics={**prompts.metrics, "retention": values})

    fit(
        model,
        dataset,
        system=system,
        options=settings,
        shots=shots,
        shots_by=options.shots_by,
        seed=options.seed,
        config=config_of(options, system, settings.get("task", SYSTEMS[system].tasks[0])),
        out=out,
        finish=with_retention,
    )
    print(f"wrote {out} ({file_size(out)}); losses are in {out.name}.log.jsonl")
    return 0


def print_learned(prompts: Prompts, dataset: Dataset, *, seconds: float) -> None:
    """Prints how much was learned from what, and what the trials and the system say about it."""
    images = prompts.training["images"]
    num_images = images if isinstance(images, int) else len(images)
    print(
        f"learned {prompts.num_learned():,} numbers from {num_images} images of {dataset.name} "
        f"({dataset.split}) in {seconds:.0f} s"
    )
    print_trials(prompts.training["trials"])
    note = SYSTEMS[prompts.system].note_on_fit
    if note and (text := resolve(note)(prompts)):
        print(text)


def config_of(options: Namespace, system: str, task: Task = "semantic") -> FitConfig:
    """Returns the defaults of a system's fit with the options that were given."""
    default = default_config(system, task)
    loop: dict[str, Any] = {"steps": options.steps, "lr": options.lr}
    loop = {name: value for name, value in loop.items() if value is not None}
    rest = {"batch": options.batch, "views": options.views}
    rest |= {"short_side": options.size, "crop": options.crop}
    given: dict[str, Any] = {name: value for name, value in rest.items() if value is not None}
    steps = loop.get("steps", default.loop.steps)
    save_every = max(min(default.loop.save_every, steps // CHECKPOINTS_PER_RUN), 1)
    # Who names a rate, or wants fresh views, has no use for trials on stored ones.
    factors = () if options.lr is not None or options.views == 0 else default.rate_factors
    return replace(
        default,
        loop=replace(default.loop, save_every=save_every, **loop),
        setting=options.setting,
        rate_factors=factors,
        **given,
    )


def print_trials(trials: dict[str, Any] | None) -> None:
    """Prints what held-out shots said about the rates, where they were asked."""
    if trials is None:
        return
    unfitted, *rest = (row["score"] for row in trials["scores"])
    best = max([unfitted, *rest])
    if not any(trials["best"]):
        print(
            f"held-out shots: nothing learned beats the unfitted model ({unfitted:.3f} against "
            f"{max(rest):.3f}), so the prompts change nothing; give more images, another --system, "
            "or --lr to learn all the same"
        )
        return
    factors = ", ".join(f"{factor:g}" for factor in trials["best"])
    print(f"held-out shots: {unfitted:.3f} before, {best:.3f} after, rates times {factors}")


def _how_to_lose_less(drop: float, prompts: Prompts) -> str:
    """Returns advice for a fit that changed the answers to a base vocabulary.

    Args:
        drop: fall of its mIoU, 0..1.
    """
    advice = ["a lower --lr or fewer --steps change less"]
    if target := SYSTEMS[prompts.system].note_on_loss:
        advice.append(resolve(target)(prompts))
    return f"{100 * drop:.1f} points of mIoU were lost there: {'; '.join(filter(None, advice))}"


def _options_of(system: str, options: Namespace) -> dict[str, Any]:
    """Returns the options of `--set` and, for systems that know it, `--task`."""
    given = dict(options.settings)
    if options.task is None:
        return given
    spec = SYSTEMS[system]
    if options.task not in spec.tasks:
        other = next(each for each in SYSTEMS.values() if options.task in each.tasks)
        raise SegtuneError(
            f"{system} labels pixels; --task {options.task} needs a system that learns masks, "
            f"such as {other.name} on a {MODELS[other.kinds[0]].titles[0]}"
        )
    return given if len(spec.tasks) == 1 else given | {"task": options.task}


def _check_out(out: Path, options: Namespace) -> None:
    """Raises where the prompt file could not be written at the end."""
    check_outputs([Output(out)], force=options.force)
    files = files_of_fit(out)
    outputs = [
        Output(out),
        Output(files.checkpoint, begins(b"PK")),
        Output(files.log, begins(b'{"step": ')),
    ]
    inputs = (options.data, options.model, options.templates, options.vocab)
    check_outputs(outputs, force=options.force, inputs=inputs)


def _shots(options: Namespace, dataset: Dataset) -> int | None:
    """Returns the number of shots, None for all; few images are no mistake where none was asked."""
    if options.all:
        return None
    if options.shots is not None:
        return options.shots
    if options.shots_by == "image" and len(dataset) < DEFAULT_SHOTS:
        print(f"{dataset.name} has {len(dataset)} images; all are used")
        return None
    return DEFAULT_SHOTS


def _retention_images(options: Namespace, model: Segmenter) -> int:
    if options.retention is not None:
        return options.retention
    card = CARDS.get(model.backbone.name)
    return RETENTION_IMAGES if card is not None and card.is_bundled else 0
