"""Scoring a loaded model on a dataset, with the protocol that the prompts imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from segtune.eval.evaluate import evaluate_semantic
from segtune.eval.result import EvaluationProtocol, EvaluationResult
from segtune.prompts import Prompts
from segtune.segmenter import Segmenter
from segtune.systems.base import System
from segtune.types import Dataset, Resolution, Sample, Segmentation


def evaluate(
    model: Segmenter,
    dataset: Dataset,
    *,
    prompts: Prompts | None = None,
    system: System | None = None,
    resolution: Resolution | None = None,
    seen_shift: float | None = None,
    examples: int | Sequence[str] = 6,
    progress: bool = True,
) -> EvaluationResult:
    """Returns the semantic scores of a model, with or without prompts, on every image.

    Args:
        model: from `segtune.load`.
        dataset: labelled; its vocabulary is what the model looks for.
        prompts: learned prompts; None is the zero-shot row.
        system: what answers in place of the prompts or of the zero-training system.
        resolution: overrides that of the prompts or of the model.
        seen_shift: taken off the probabilities of classes tagged "seen"; None takes the system's
            value for prompts that were learned inductively, and 0 otherwise.
        examples: pictures to keep, or their sample ids.
        progress: show a bar where the output is a terminal.
    """
    resolution = resolution or (prompts.resolution if prompts is not None else model.resolution)
    training: dict[str, Any] = dict(prompts.training) if prompts is not None else {}
    if seen_shift is None:
        inductive = prompts is not None and training.get("setting") == "inductive"
        seen_shift = float(prompts.options.get("seen_shift", 0.0)) if prompts and inductive else 0.0
    seen_ids = dataset.vocabulary.ids_in("seen") if seen_shift else ()

    def predict(sample: Sample) -> Segmentation:
        return model.segment(
            sample,
            dataset.vocabulary,
            prompts=prompts,
            system=system,
            resolution=resolution,
            seen_ids=seen_ids,
            seen_shift=seen_shift,
        )

    answering = system or model.system_for(prompts)
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
        | {"seen_shift": seen_shift, "crop_stride": asdict(resolution)["stride"]},
    )
    return evaluate_semantic(
        predict, dataset, protocol=protocol, examples=examples, progress=progress
    )
