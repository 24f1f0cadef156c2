"""Training by a recipe: one YAML file in, one folder with prompts, scores and logs out.

The folder holds `recipe.yaml` (fully resolved; training can be started again from it alone),
`versions.json`, `prompts.safetensors`, its log, and `metrics.json`. `accelerate launch -m
segtune.fewshot.run RECIPE` spreads the batch over devices; mixed precision is a line of the recipe.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from segtune.data.formats import open_dataset
from segtune.data.protocols import open_for
from segtune.data.samples import Subset
from segtune.errors import SegtuneError
from segtune.eval.run import evaluate
from segtune.fewshot.config import FitConfig
from segtune.fewshot.fit import fit
from segtune.predict.segmenter import Segmenter, load
from segtune.prompts import Prompts
from segtune.storage.files import atomic_write
from segtune.train.outcome import Outcome
from segtune.train.processes import Precision, make_accelerator
from segtune.train.recipe import RecipeKind, write_recipe
from segtune.train.run_files import RECIPE
from segtune.train.step_log import has_diverged
from segtune.types import Dataset
from segtune.vocabulary.protocols import find_protocol

Select = Literal["last", "best_seen", "best_unseen"]
PROMPTS, METRICS, EVALUATIONS = "prompts.safetensors", "metrics.json", "evaluations.jsonl"
LOG = f"{PROMPTS}.log.jsonl"


@dataclass(frozen=True)
class EvaluateConfig:
    """When and on what a run is scored.

    Attributes:
        data: None takes the training data's path.
        split: never used for training.
        every: steps between evaluations; 0 scores the end only.
        select: which prompts the run keeps. "last" looks at no score; "best_seen" chooses by seen
            classes; "best_unseen" chooses by unseen classes of the very split that is reported,
            as the released RPN logs do, and is for replication only.
        limit: images; None takes all.
    """

    data: str | None = None
    split: str = "val"
    every: int = 0
    select: Select = "last"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.every < 0 or (self.limit is not None and self.limit < 1):
            raise SegtuneError(
                f"every={self.every}, limit={self.limit}: expected 0 or more, 1 or more or null"
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on.

    Attributes:
        system: a name in `segtune.systems.SYSTEMS`.
        data: what `open_dataset` reads.
        split, layout: of the training data.
        protocol: whose classes are learned and scored, with its tags, such as "voc15-5".
        model: frozen model by name or path.
        options: fields of the system's config.
        templates: sentences around class names.
        shots: images, None for all.
        seed: of everything random.
        fit: steps, rates, views, resolution, setting.
        evaluate: scoring.
        precision: "bf16" and "fp16" run the forward pass in that type.
    """

    system: str
    data: str
    split: str = "train"
    layout: str | None = None
    protocol: str | None = None
    model: str = "clip-vit-tiny"
    options: dict[str, Any] = field(default_factory=dict)
    templates: str = "single"
    shots: int | None = None
    seed: int = 0
    fit: FitConfig = field(default_factory=FitConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise SegtuneError(f"seed={self.seed}: expected 0 to 2**63 - 1")
        if self.shots is not None and self.shots < 1:
            raise SegtuneError(f"shots={self.shots}: expected 1 or more, or null for all")


def run_recipe(
    path: Path | str,
    *,
    out: Path | str,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains by a recipe and returns its metrics; see the module docstring for the files.

    Args:
        path: YAML file.
        out: folder of the run.
        resume: go on with an interrupted run in `out`.
        overrides: dotted recipe fields to values, such as {"seed": 1, "fit.loop.steps": 100}.
        progress: show bars where the output is a terminal.
    """
    recipe = read_recipe(path, overrides=overrides)
    out = Path(out)
    if (out / METRICS).exists():
        raise SegtuneError(f"{out} already holds a finished run; choose another --out")
    is_started = out.exists() and any(out.iterdir()) and not has_diverged(out / LOG)
    if is_started and not resume:
        raise SegtuneError(f"{out} holds a started run; add --resume or choose another --out")
    accelerator = make_accelerator(recipe.precision)
    accelerator.wait_for_everyone()  # until all processes have looked into the folder
    model = load(recipe.model, templates=recipe.templates, device=str(accelerator.device))
    train = _open(recipe, recipe.data, recipe.split)
    scored = _Scored(recipe, model, out)

    def begin() -> None:
        write_recipe(out / RECIPE, KIND.values(recipe))
        _write_json(out / "versions.json", versions())

    prompts = fit(
        model,
        train,
        system=recipe.system,
        options=recipe.options,
        shots=recipe.shots,
        seed=recipe.seed,
        config=recipe.fit,
        out=out / PROMPTS,
        progress=progress,
        accelerator=accelerator,
        on_begin=begin,
        on_step=scored if recipe.evaluate.every and accelerator.is_main_process else None,
    )
    if not accelerator.is_main_process:
        return {}
    return scored.finish(prompts)


class _Scored:
    """Scores a run on the way and at its end, and keeps what the selection rule says."""

    def __init__(self, recipe: Recipe, model: Segmenter, out: Path) -> None:
        self.recipe, self.model, self.out = recipe, model, out
        config = recipe.evaluate
        dataset = _open(recipe, config.data or recipe.data, config.split)
        if config.limit is not None:
            dataset = Subset(dataset, range(min(config.limit, len(dataset))))
        self.dataset = dataset
        self.log = out / EVALUATIONS

    def __call__(self, done: int, prompts_now: Callable[[], Prompts]) -> None:
        is_due = done % self.recipe.evaluate.every == 0 and done < self.recipe.fit.loop.steps
        if is_due and all(row["step"] != done for row in self._rows()):
            self._record(done, prompts_now())

    def _record(self, done: int, prompts: Prompts) -> dict[str, Any]:
        scores = evaluate(self.model, self.dataset, prompts=prompts, examples=0).scores.summary()
        rows = [row for row in self._rows() if row["step"] < done] + [{"step": done, **scores}]
        with atomic_write(self.log) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        key = {"best_seen": "mIoU(S)", "best_unseen": "mIoU(U)"}.get(self.recipe.evaluate.select)
        if key and scores[key] >= max(row[key] for row in rows):
            replace(prompts, metrics={"step": done, **scores}).save(self.out / f"best-{PROMPTS}")
        return scores

    def _rows(self) -> list[dict[str, Any]]:
        if not self.log.is_file():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def finish(self, prompts: Prompts) -> dict[str, Any]:
        """Scores the last step, writes the kept prompts and `metrics.json`, and returns it."""
        steps = self.recipe.fit.loop.steps
        scores = {"step": steps} | self._record(steps, prompts)
        best = self.out / f"best-{PROMPTS}"
        kept = prompts
        if self.recipe.evaluate.select != "last":
            kept = Prompts.load(best)
            best.unlink()
        kept = replace(kept, metrics=dict(kept.metrics) or scores)
        kept.save(self.out / PROMPTS)
        zero_shot_row = evaluate(self.model, self.dataset, examples=0).scores.summary()
        metrics = {
            "protocol": {
                "data": self.dataset.name,
                "split": self.dataset.split,
                "images": len(self.dataset),
                "select": self.recipe.evaluate.select,
                "seed": self.recipe.seed,
                "model": self.model.backbone.name,
                "fingerprint": self.model.backbone.fingerprint,
                "system": self.recipe.system,
                "learned": prompts.num_learned(),
            },
            "zero_shot": zero_shot_row,
            "last": scores,
            "kept": dict(kept.metrics),
        }
        _write_json(self.out / METRICS, metrics)
        return metrics


def _open(recipe: Recipe, data: str, split: str) -> Dataset:
    """Returns a split of the data with the tags of the protocol.

    Raises:
        SegtuneError: the protocol asks for other words than it scores, which nothing can learn.
    """
    if recipe.protocol is None:
        return open_dataset(data, layout=recipe.layout, split=split)
    protocol = find_protocol(recipe.protocol)
    if protocol.asked != protocol.scored:
        raise SegtuneError(
            f"protocol {protocol.name} scores {protocol.scored} by the words of {protocol.asked} "
            "and is for `segtune evaluate` only; name another protocol in the recipe"
        )
    return open_for(protocol, data, layout=recipe.layout, split=split)


KIND = RecipeKind(Recipe, example="recipes/rpn/base.yaml")
read_recipe, recipe_from = KIND.read, KIND.make


def train_recipe(
    path: Path, settings: Mapping[str, Any], *, out: Path, resume: bool = False
) -> Outcome:
    """Trains by a recipe file with some settings replaced, and returns what to say about it."""
    metrics = run_recipe(path, out=out, resume=resume, overrides=settings)
    if not metrics:  # scores are with the main process
        return Outcome(f"wrote {out}")
    names = [name for name in metrics["zero_shot"] if name in metrics["last"]]
    rows = {"zero-shot": metrics["zero_shot"], "fitted": metrics["last"]}
    scores = {title: {name: row[name] for name in names} for title, row in rows.items()}
    return Outcome(f"wrote {out}", f"{path.stem}: {metrics['protocol']}", scores)


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on."""
    packages = ("segtune", "torch", "transformers", "numpy", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a recipe; the entry point for `accelerate launch -m segtune.fewshot.run`."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m segtune.fewshot.run")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    metrics = run_recipe(options.recipe, out=options.out, resume=options.resume)
    if metrics:
        print(json.dumps(metrics["last"], indent=2))


if __name__ == "__main__":
    main()
