"""Scoring a loaded model on a dataset, with the protocol that the prompts imply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtune.backbones.base import ReadsWords
from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import SegtuneError
from segtune.eval.judges import JUDGES
from segtune.eval.judging import ScoredModel, judge
from segtune.eval.result import EvaluationProtocol, EvaluationResult
from segtune.predict.look import UNNAMED
from segtune.predict.memory import check_memory, size_of
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts, read_prompts
from segtune.systems.base import System
from segtune.types import Dataset, Resolution, Sample, Segmentation, Task
from segtune.vocabulary.scoring_map import ScoringMap


def evaluate(
    model: Segmenter,
    data: Dataset | Path | str,
    *,
    task: str = "semantic",
    prompts: Prompts | Path | str | None = None,
    system: System | str | None = None,
    resolution: Resolution | None = None,
    seen_shift: float | None = None,
    min_score: float | None = None,
    scoring: ScoringMap | None = None,
    examples: int | Sequence[str] = 6,
    progress: bool = True,
    on_bad: Callable[[str], None] | None = None,
) -> EvaluationResult:
    """Returns the scores of a model, with or without prompts, on every image.

    Args:
        model: from `segtune.load`.
        data: labelled; a dataset, or what `open_dataset` reads, split "val" or "test" where there
            is one. Its vocabulary is what the model looks for.
        task: a name in `segtune.eval.judges.JUDGES`: "semantic" gives mIoU; "instance" COCO's AP of
            things; "panoptic" PQ, where stuff may be in the semantic map only; "promptable" the IoU
            of one click and one box per object; "open-world" and "class-agnostic" the recall of
            things by regions without names.
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
        on_bad: told of images that cannot be read; see `segtune.eval.judging.judge`.

    Raises:
        SegtuneError: the data lacks what the task needs, or prompts are given for clicks and boxes.
    """
    dataset = _opened(data) if isinstance(data, Path | str) else data
    prompts = read_prompts(prompts)
    spec = JUDGES.find(task)
    if spec.asks == "places":
        if prompts is not None or system is not None:
            raise SegtuneError(
                f"clicks and boxes are answered by the frozen model alone; evaluate task {task} "
                "without prompts"
            )
        scored, protocol = _at_places(model, resolution)
        return judge(
            task,
            scored,
            dataset,
            protocol=protocol,
            examples=examples,
            progress=progress,
            on_bad=on_bad,
        )
    resolution = resolution or (prompts.resolution if prompts is not None else model.resolution)
    if seen_shift is None:
        seen_shift = _shift_of(prompts)
    scoring = scoring or ScoringMap.same_order(dataset.vocabulary, dataset.vocabulary)
    if scoring.classes.names != dataset.vocabulary.names:
        raise SegtuneError(
            f"the words of {scoring.words.name} count as the classes of {scoring.classes.name}, "
            f"but {dataset.name} has those of {dataset.vocabulary.name}"
        )
    words = scoring.words
    seen_ids = words.ids_in("seen") if seen_shift else ()
    asked: Task = spec.asks

    answering = model.system_for(prompts, system)
    unnamed = asked == "regions" and prompts is None and not isinstance(model.backbone, ReadsWords)

    def in_words(sample: Sample) -> Segmentation:
        check_memory(
            model.backbone, size_of(sample), task=asked, num_words=len(words), name=sample.id
        )
        answer = model.segment(
            sample,
            UNNAMED if unnamed else words,
            prompts=prompts,
            system=answering,
            task=asked,
            min_score=min_score,
            resolution=resolution,
            seen_ids=seen_ids,
            seen_shift=seen_shift,
        )
        return answer if unnamed else scoring.of_answer(answer)

    extra: dict[str, str | int | float | bool] = {
        "system": answering.name,
        "seen_shift": seen_shift,
        "crop_stride": resolution.stride,
    }
    extra |= getattr(model.backbone, "training_notes", {})
    if min_score is not None:
        extra["min_score"] = min_score
    if words.names != dataset.vocabulary.names:
        extra["words"] = words.name
    return judge(
        task,
        ScoredModel(in_words=in_words),
        dataset,
        protocol=_protocol(model, prompts, resolution, extra),
        examples=examples,
        progress=progress,
        on_bad=on_bad,
    )


def _shift_of(prompts: Prompts | None) -> float:
    """Returns what prompts that were learned inductively take off the seen classes."""
    if prompts is None or prompts.training.get("setting") != "inductive":
        return 0.0
    return float(prompts.options.get("seen_shift", 0.0))


def _protocol(
    model: Segmenter,
    prompts: Prompts | None,
    resolution: Resolution,
    extra: Mapping[str, str | int | float | bool],
) -> EvaluationProtocol:
    """Returns how a model answers in words, as far as the data set does not know it."""
    training: Mapping[str, Any] = prompts.training if prompts is not None else {}
    seed = training.get("seed")
    return EvaluationProtocol(
        templates=(prompts or model).templates.name,
        resolution=f"short side {resolution.short_side}, window {resolution.crop or 'whole image'}",
        shots=training.get("shots"),
        seeds=() if seed is None else (seed,),
        selection="last step" if prompts is not None else "nothing selected",
        weights=f"{model.backbone.name} ({model.backbone.fingerprint})",
        extra=extra,
    )


def _opened(data: Path | str) -> Dataset:
    """Returns the dataset at a path: its split "val", else "test", else what there is."""
    splits = dataset_splits(data)
    return open_dataset(data, split=next((s for s in ("val", "test") if s in splits), None))


def _at_places(
    model: Segmenter, resolution: Resolution | None
) -> tuple[ScoredModel, EvaluationProtocol]:
    """Returns the frozen model as it answers clicks and boxes, and how it does."""
    resolution = replace(resolution or model.resolution, crop=None)
    protocol = EvaluationProtocol(
        resolution=f"short side {resolution.short_side}, window whole image",
        selection="nothing selected",
        weights=f"{model.backbone.name} ({model.backbone.fingerprint})",
        extra={"click": "pixel farthest from the border", "box": "of the mask"},
    )
    return ScoredModel(look=lambda sample: model.look(sample, resolution=resolution)), protocol
