"""Scoring a loaded model on a dataset, with the protocol that the prompts imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import SegtuneError
from segtune.eval.evaluate import evaluate_semantic
from segtune.eval.result import EvaluatedTask, EvaluationProtocol, EvaluationResult
from segtune.eval.tasks import InstanceJudge, Judge, PanopticJudge, PromptableJudge, judge
from segtune.predict.look import Look
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts, read_prompts
from segtune.systems.base import System
from segtune.types import Dataset, Resolution, Sample, Segmentation
from segtune.vocabulary.scoring_map import ScoringMap


def evaluate(
    model: Segmenter,
    data: Dataset | Path | str,
    *,
    task: EvaluatedTask = "semantic",
    prompts: Prompts | Path | str | None = None,
    system: System | str | None = None,
    resolution: Resolution | None = None,
    seen_shift: float | None = None,
    min_score: float | None = None,
    scoring: ScoringMap | None = None,
    examples: int | Sequence[str] = 6,
    progress: bool = True,
) -> EvaluationResult:
    """Returns the scores of a model, with or without prompts, on every image.

    Args:
        model: from `segtune.load`.
        data: labelled; a dataset, or what `open_dataset` reads, split "val" or "test" where there
            is one. Its vocabulary is what the model looks for.
        task: "semantic" gives mIoU; "instance" COCO's AP of things; "panoptic" PQ, where stuff may
            be in the semantic map only; "promptable" the IoU of one click and one box per object.
        prompts: learned prompts or their file; None is the zero-shot row.
        system: what answers in place of the prompts or of the zero-training system, or its name.
        resolution: overrides that of the prompts or of the model.
        seen_shift: taken off the probabilities of classes tagged "seen"; None takes the system's
            value for prompts that were learned inductively, and 0 otherwise.
        min_score: of instances and panoptic segments; see `Segmenter.segment`.
        scoring: the words to ask for in place of the class names, and what each counts as; see
            `Protocol.scoring_map`.
        examples: pictures to keep, or their sample ids.
        progress: show a bar where the output is a terminal.

    Raises:
        SegtuneError: the data lacks what the task needs, or prompts are given for clicks and boxes.
    """
    dataset = _opened(data) if isinstance(data, Path | str) else data
    prompts = read_prompts(prompts)
    if task == "promptable":
        if prompts is not None or system is not None:
            raise SegtuneError(
                "clicks and boxes are answered by the frozen model alone; evaluate task promptable "
                "without prompts"
            )
        return _promptable(model, dataset, resolution, examples=examples, progress=progress)
    resolution = resolution or (prompts.resolution if prompts is not None else model.resolution)
    training: dict[str, Any] = dict(prompts.training) if prompts is not None else {}
    if seen_shift is None:
        inductive = prompts is not None and training.get("setting") == "inductive"
        seen_shift = float(prompts.options.get("seen_shift", 0.0)) if prompts and inductive else 0.0
    scoring = scoring or ScoringMap.same_order(dataset.vocabulary, dataset.vocabulary)
    if scoring.classes.names != dataset.vocabulary.names:
        raise SegtuneError(
            f"the words of {scoring.words.name} count as the classes of {scoring.classes.name}, "
            f"but {dataset.name} has those of {dataset.vocabulary.name}"
        )
    words = scoring.words
    seen_ids = words.ids_in("seen") if seen_shift else ()

    answering = model.system_for(prompts, system)

    def predict(sample: Sample) -> Segmentation:
        answer = model.segment(
            sample,
            words,
            prompts=prompts,
            system=answering,
            task=task,
            min_score=min_score,
            resolution=resolution,
            seen_ids=seen_ids,
            seen_shift=seen_shift,
        )
        return scoring.of_answer(answer)

    templates = prompts.templates if prompts is not None else model.templates
    seed = training.get("seed")
    protocol = EvaluationProtocol(
        templates=templates.name,
        resolution=f"short side {resolution.short_side}, window {resolution.crop or 'whole image'}",
        shots=training.get("shots"),
        seeds=() if seed is None else (seed,),
        selection="last step" if prompts is not None else "nothing selected",
        weights=f"{model.backbone.name} ({model.backbone.fingerprint})",
        extra={"system": answering.name}
        | {"seen_shift": seen_shift, "crop_stride": asdict(resolution)["stride"]}
        | ({} if min_score is None else {"min_score": min_score})
        | ({} if words.names == dataset.vocabulary.names else {"words": words.name}),
    )
    if task == "semantic":
        return evaluate_semantic(
            predict, dataset, protocol=protocol, examples=examples, progress=progress
        )
    chosen = InstanceJudge if task == "instance" else PanopticJudge
    how: Judge = chosen(predict, dataset.vocabulary)
    return judge(how, dataset, protocol=protocol, examples=examples, progress=progress)


def _opened(data: Path | str) -> Dataset:
    """Returns the dataset at a path: its split "val", else "test", else what there is."""
    splits = dataset_splits(data)
    return open_dataset(data, split=next((s for s in ("val", "test") if s in splits), None))


def _promptable(
    model: Segmenter,
    dataset: Dataset,
    resolution: Resolution | None,
    *,
    examples: int | Sequence[str],
    progress: bool,
) -> EvaluationResult:
    """Returns how well the frozen model segments what is pointed at."""
    resolution = replace(resolution or model.resolution, crop=None)

    def look(sample: Sample) -> Look:
        return model.look(sample, resolution=resolution)

    protocol = EvaluationProtocol(
        resolution=f"short side {resolution.short_side}, window whole image",
        selection="nothing selected",
        weights=f"{model.backbone.name} ({model.backbone.fingerprint})",
        extra={"click": "pixel farthest from the border", "box": "of the mask"},
    )
    how = PromptableJudge(look, dataset.vocabulary)
    return judge(how, dataset, protocol=protocol, examples=examples, progress=progress)
