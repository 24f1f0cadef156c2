"""Learning prompts from a few labelled images: `segtune.fit` and `segtune fit`.

The frozen features of a fixed pool of views are computed once; the loop then touches only what is
learned. The same function trains on whole data sets (`views=0`: fresh views in every step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segtune.data.formats import open_dataset
from segtune.fewshot.batches import Batches
from segtune.fewshot.config import FitConfig, default_config
from segtune.fewshot.learner import optimise
from segtune.fewshot.plan import FitPlan, plan_fit
from segtune.fewshot.trials import Factors, Trials, cross_validate
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import SYSTEMS, default_system
from segtune.train.run_files import RunFiles
from segtune.types import Dataset, Task
from segtune.vocabulary.templates import TemplateSpec, read_templates

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    about: Task = (options or {}).get("task", SYSTEMS.find(system).tasks[0])
    config = config or default_config(system, about)
    plan = plan_fit(
        model,
        open_dataset(data) if isinstance(data, Path | str) else data,
        system=system,
        options={} if options is None else options,
        config=config,
        shots=shots,
        shots_by=shots_by,
        seed=seed,
        templates=model.templates if templates is None else read_templates(templates),
    )
    batches = Batches(
        plan.learner,
        plan.views,
        plan.stages,
        config,
        seed=seed,
        progress=progress,
        accelerator=accelerator,
    )
    trials = _trials(plan, batches, progress=progress)
    loop = config.loop
    if trials is not None and trials.is_unfitted:
        loop = replace(loop, steps=1)  # a step of rate zero
    path = Path(out) if out is not None else None
    files = files_of_fit(path, plan.identity(), on_begin=on_begin) if path is not None else None

    def prompts_now() -> Prompts:
        return plan.prompts(trials)

    optimise(
        plan.learner,
        batches,
        loop,
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


def _trials(plan: FitPlan, batches: Batches, *, progress: bool) -> Trials | None:
    """Returns the comparison on held-out shots, where one is asked for and possible."""
    config = plan.config
    folds = min(config.folds, batches.num_images)
    if not config.rate_factors or folds < 2:
        return None
    groups = len(plan.learner.parameter_groups(1.0, 0.0))
    candidates: list[Factors] = [
        factors if isinstance(factors, tuple) else (factors,) * groups
        for factors in config.rate_factors
    ]
    loop = config.loop
    if config.trial_steps is not None:
        loop = replace(loop, steps=config.trial_steps)
    return cross_validate(
        plan.learner,
        batches,
        loop,
        candidates,
        folds=folds,
        seed=plan.seed,
        task=plan.scored_task,
        progress=progress,
    )
