"""Learning prompts from a few labelled images: `segtune.fit` and `segtune fit`.

The frozen features of a fixed pool of views are computed once; the loop then touches only what is
learned. The same function trains on whole data sets (`views=0`: fresh views in every step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segtune.backbones.base import ReadsWords, prompt_fingerprint
from segtune.data.formats import open_dataset
from segtune.data.regions import require_instances
from segtune.data.samples import Subset
from segtune.data.shots import by_class, by_image, classes_in
from segtune.errors import SegtuneError
from segtune.fewshot.batches import Batches, Stage
from segtune.fewshot.config import FitConfig, Setting, default_config
from segtune.fewshot.learner import optimise
from segtune.fewshot.trials import Factors, Trials, cross_validate
from segtune.fewshot.views import ViewConfig, Views
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import SYSTEMS, build_system, default_system, systems_for
from segtune.systems.base import System
from segtune.train.run_files import RunFiles
from segtune.types import Dataset, Resolution, Task, TemplateSet
from segtune.vocabulary.templates import TemplateSpec, read_templates

if TYPE_CHECKING:
    from accelerate import Accelerator

FEW_IMAGES = 500
"""Of more labelled images than this nobody reads all labels before the fit begins."""


def fit(
    model: Segmenter,
    data: Dataset | Path | str,
    *,
    system: str | None = None,
    options: Mapping[str, Any] | None = None,
    shots: int | None = 16,
    shots_by: Literal["image", "class"] = "image",
    seed: int = 0,
    templates: TemplateSpec | None = None,
    config: FitConfig | None = None,
    out: Path | str | None = None,
    progress: bool = True,
    accelerator: Accelerator | None = None,
    on_step: Callable[[int, Callable[[], Prompts]], None] | None = None,
    on_begin: Callable[[], None] | None = None,
    finish: Callable[[Prompts], Prompts] | None = None,
) -> Prompts:
    """Learns prompts for a frozen model from labelled images and returns them.

    Args:
        model: from `segtune.load`.
        data: a dataset, or what `open_dataset` reads; its training split is used.
        system: a name in `segtune.systems.SYSTEMS`; None takes the first for this kind of model.
        options: fields of the system's config, such as {"variant": "released"}.
        shots: number of images (or images per class); None takes all.
        shots_by: what a shot counts.
        seed: chooses the images, the views and the initial prompts.
        templates: sentences around class names; those of the model where None.
        config: steps, rates, views and resolution; `default_config` of the system where None.
        out: prompt file to write. An interrupted fit leaves `OUT.checkpoint` and goes on from it;
            losses are logged to `OUT.log.jsonl`.
        progress: show bars where the output is a terminal.
        accelerator: for several devices and mixed precision.
        on_step: called after every step with the number of finished steps and a function that
            returns the prompts as they are now.
        on_begin: called before the first step where there is an `out`, when all is checked.
        finish: from what was learned to what is written and returned, such as with scores; where it
            is killed, the fit goes on with it.

    Raises:
        SegtuneError: the system learns nothing, or data and options do not fit together.

    Example:
        >>> import segtune
        >>> from segtune.train.config import LoopConfig
        >>> config = segtune.FitConfig(loop=LoopConfig(steps=2), views=1, short_side=64)
        >>> prompts = segtune.fit(segtune.load(), "synthetic:jargon", shots=1, config=config)
        >>> prompts.system, len(prompts.vocabulary) > 10
        ('ssprompt', True)
    """
    system = system or default_system(model.backbone.kind)
    spec = SYSTEMS.find(system)
    about: Task = (options or {}).get("task", spec.tasks[0])
    config = config or default_config(system, about)
    dataset = open_dataset(data) if isinstance(data, Path | str) else data
    template_set = read_templates(templates) if templates is not None else model.templates
    few = few_shot(dataset, shots, by=shots_by, seed=seed)
    short_side = config.short_side or model.resolution.short_side
    crop = config.crop
    stride = model.backbone.patch_size
    if crop is None and model.backbone.uses_windows:
        crop = min(short_side, model.resolution.crop or short_side)
    if crop is not None:
        crop = max(crop // stride * stride, stride)

    given = dict(options or {})
    if spec.fit.grid_option and crop is not None:
        given.setdefault(spec.fit.grid_option, (crop // stride, crop // stride))
    setting = resolve_setting(config.setting, dataset)
    reads_words = isinstance(model.backbone, ReadsWords)
    if spec.fit.classes_option:
        classes = fit_classes(few, setting, about, shown_only=reads_words)
        given.setdefault(spec.fit.classes_option, classes)
    learner = build_system(system, model.backbone, given, seed=seed)
    if learner.num_learned() == 0:
        raise SegtuneError(
            f"{system} learns nothing; choose {', '.join(systems_for(model.backbone.kind))}"
        )
    stages = make_stages(model, dataset, template_set, setting)
    learner.start(stages[-1].words, seed=seed)
    resolution = Resolution.of(short_side, crop=crop)
    if not model.backbone.uses_windows:
        resolution = replace(resolution, crop=None)
    view_config = ViewConfig(short_side, crop, config.scale, config.flip, config.distort)
    task: Task = getattr(learner.config, "task", spec.tasks[0])
    if task != "semantic":
        require_instances(few, what=f"task {task}")
    views = Views(few, view_config, seed=seed, task=task)
    batches = Batches(
        learner, views, stages, config, seed=seed, progress=progress, accelerator=accelerator
    )
    # Masks of a model without words have no names to score: there the losses are compared.
    scored: Task = task if reads_words else "instance"
    trials = _trials(learner, batches, config, seed=seed, task=scored, progress=progress)
    training = {
        "data": dataset.name,
        "split": dataset.split,
        "shots": shots,
        "shots_by": shots_by,
        "images": few_ids(few) if len(few) <= 200 else len(few),
        "seed": seed,
        "setting": setting,
        "config": asdict(config),
        "trials": None if trials is None else trials.values(),
    }

    def prompts_now() -> Prompts:
        return Prompts(
            system=system,
            options=learner.config_values(),
            model=model.backbone.name,
            fingerprint=prompt_fingerprint(model.backbone),
            tensors=learner.learned(),
            vocabulary=dataset.vocabulary,
            templates=template_set,
            resolution=resolution,
            training=training,
        )

    identity = {
        "system": system,
        "options": learner.config_values(),
        "fingerprint": model.backbone.fingerprint,
        "data": [dataset.name, dataset.split, few_ids(few), views.digest()],
        "seed": seed,
        "config": asdict(config),
    }
    path = Path(out) if out is not None else None
    files = files_of_fit(path, identity, on_begin=on_begin) if path is not None else None
    if trials is not None and trials.is_unfitted:
        config = replace(config, loop=replace(config.loop, steps=1))  # a step of rate zero
    optimise(
        learner,
        batches,
        config.loop,
        seed=seed,
        factors=None if trials is None else trials.best,
        files=files,
        ahead=batches.pool is None,
        progress=progress,
        accelerator=accelerator,
        on_step=None if on_step is None else lambda done: on_step(done, prompts_now),
    )
    prompts = prompts_now() if finish is None else finish(prompts_now())
    if path is not None and (accelerator is None or accelerator.is_main_process):
        prompts.save(path)
        if files is not None:
            files.checkpoint.unlink(missing_ok=True)
    return prompts


def files_of_fit(
    path: Path,
    identity: Mapping[str, Any] | None = None,
    *,
    on_begin: Callable[[], None] | None = None,
) -> RunFiles:
    """Returns the checkpoint and the log beside a prompt file."""
    checkpoint, log = (path.with_name(path.name + end) for end in (".checkpoint", ".log.jsonl"))
    return RunFiles(checkpoint, log, identity or {}, on_begin=on_begin)


def few_shot(dataset: Dataset, shots: int | None, *, by: str, seed: int) -> Dataset:
    """Returns the images of a K-shot run; nested in K for the same seed."""
    if shots is None:
        return dataset
    choose = {"image": by_image, "class": by_class}[by]
    return Subset(dataset, choose(dataset, shots, seed))


def few_ids(dataset: Dataset) -> list[str]:
    """Returns the ids of all samples."""
    return [dataset.sample_id(i) for i in range(len(dataset))]


def resolve_setting(setting: Setting, dataset: Dataset) -> Setting:
    """Returns "auto" resolved: inductive where the vocabulary tags unseen classes."""
    has_unseen = bool(dataset.vocabulary.ids_in("unseen"))
    if setting == "auto":
        return "inductive" if has_unseen else "supervised"
    if setting != "supervised" and not has_unseen:
        raise SegtuneError(
            f"setting={setting} needs classes tagged unseen, which {dataset.name} does not have; "
            "use setting=supervised or a zero-shot vocabulary"
        )
    return setting


def fit_classes(few: Dataset, setting: Setting, task: Task, *, shown_only: bool) -> tuple[str, ...]:
    """Returns the names of the classes that get a learned row.

    Args:
        few: the labelled images.
        setting: hides unseen classes, unless it is "supervised".
        task: stuff is no part of the instance task.
        shown_only: classes that no image shows keep their default embedding, because images say
            only what they are not. All classes of more than `FEW_IMAGES` images count as shown.
    """
    vocabulary = few.vocabulary
    hidden = set() if setting == "supervised" else set(vocabulary.ids_in("unseen"))
    shown = set(range(len(vocabulary)))
    if shown_only:
        if task == "instance":
            shown = {i for i, concept in enumerate(vocabulary) if concept.kind == "thing"}
        if len(few) <= FEW_IMAGES:
            shown &= {i for number in range(len(few)) for i in classes_in(few[number])}
    return tuple(vocabulary.names[i] for i in sorted(shown - hidden))


def _trials(
    learner: System, batches: Batches, config: FitConfig, *, seed: int, task: Task, progress: bool
) -> Trials | None:
    """Returns the comparison on held-out shots, where one is asked for and possible."""
    folds = min(config.folds, batches.num_images)
    if not config.rate_factors or folds < 2:
        return None
    groups = len(learner.parameter_groups(1.0, 0.0))
    candidates: list[Factors] = [
        factors if isinstance(factors, tuple) else (factors,) * groups
        for factors in config.rate_factors
    ]
    loop = config.loop
    if config.trial_steps is not None:
        loop = replace(loop, steps=config.trial_steps)
    return cross_validate(
        learner, batches, loop, candidates, folds=folds, seed=seed, task=task, progress=progress
    )


def make_stages(
    model: Segmenter, dataset: Dataset, templates: TemplateSet, setting: Setting
) -> tuple[Stage, Stage]:
    """Returns what the first and the second half of a run see."""
    vocabulary = replace(dataset.vocabulary, negatives=())
    words = model.words(vocabulary, templates)
    if setting == "supervised":
        return Stage(words), Stage(words)
    unseen = vocabulary.ids_in("unseen")
    seen = tuple(i for i in range(len(vocabulary)) if i not in set(unseen))
    inductive = Stage(words.subset(seen), seen_ids=seen)
    if setting == "inductive":
        return inductive, inductive
    return inductive, Stage(words, unseen_ids=unseen)
