"""What a fit decides before the first number is learned: images, classes, system, views.

Nothing is trained here. `plan_fit` fails where data, options and model do not go together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from segtune.backbones.base import ReadsWords, prompt_fingerprint
from segtune.data.regions import require_instances
from segtune.data.samples import Subset
from segtune.data.shots import by_class, by_image, classes_in
from segtune.errors import SegtuneError
from segtune.fewshot.batches import Stage
from segtune.fewshot.config import FitConfig, Setting
from segtune.fewshot.trials import Trials
from segtune.fewshot.views import ViewConfig, Views
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import SYSTEMS, build_system, systems_for
from segtune.systems.base import System
from segtune.types import Dataset, Resolution, Task, TemplateSet

FEW_IMAGES = 500
"""Of more labelled images than this nobody reads all labels before the fit begins."""
IDS_NAMED = 200
"""Prompt files name the images of a fit up to this many."""


@dataclass(frozen=True)
class FitPlan:
    """A fit, ready to begin.

    Attributes:
        model: the frozen model.
        learner: the system, at its start.
        dataset, few: all labelled images, and those that are learned from.
        stages: what the first and the second half of the run see.
        views: of the images that are learned from.
        setting: resolved, never "auto".
        templates, resolution: that the prompts are learned and used with.
        config, shots, shots_by, seed: as asked for.
    """

    model: Segmenter
    learner: System
    dataset: Dataset
    few: Dataset
    stages: tuple[Stage, Stage]
    views: Views
    setting: Setting
    templates: TemplateSet
    resolution: Resolution
    config: FitConfig
    shots: int | None
    shots_by: str
    seed: int

    @property
    def scored_task(self) -> Task:
        """The task by which trials are compared.

        Masks of a model without words have no names to score: there the losses are compared.
        """
        return self.views.task if isinstance(self.model.backbone, ReadsWords) else "instance"

    def identity(self) -> dict[str, Any]:
        """Returns the plain values that a checkpoint must share to be resumed."""
        return {
            "system": self.learner.name,
            "options": self.learner.config_values(),
            "fingerprint": self.model.backbone.fingerprint,
            "data": [
                self.dataset.name,
                self.dataset.split,
                few_ids(self.few),
                self.views.digest(),
            ],
            "seed": self.seed,
            "config": asdict(self.config),
        }

    def prompts(self, trials: Trials | None) -> Prompts:
        """Returns the prompts as they are now, with where they came from."""
        few, backbone = self.few, self.model.backbone
        return Prompts(
            system=self.learner.name,
            options=self.learner.config_values(),
            model=backbone.name,
            fingerprint=prompt_fingerprint(backbone),
            tensors=self.learner.learned(),
            vocabulary=self.dataset.vocabulary,
            templates=self.templates,
            resolution=self.resolution,
            training={
                "data": self.dataset.name,
                "split": self.dataset.split,
                "shots": self.shots,
                "shots_by": self.shots_by,
                "images": few_ids(few) if len(few) <= IDS_NAMED else len(few),
                "seed": self.seed,
                "setting": self.setting,
                "config": asdict(self.config),
                "trials": None if trials is None else trials.values(),
            },
        )


def plan_fit(
    model: Segmenter,
    dataset: Dataset,
    *,
    system: str,
    options: Mapping[str, Any],
    config: FitConfig,
    shots: int | None,
    shots_by: Literal["image", "class"],
    seed: int,
    templates: TemplateSet,
) -> FitPlan:
    """Returns the plan of a fit; arguments as in `segtune.fit`.

    Raises:
        SegtuneError: the system learns nothing, or data and options do not fit together.
    """
    spec = SYSTEMS.find(system)
    few = few_shot(dataset, shots, by=shots_by, seed=seed)
    setting = resolve_setting(config.setting, dataset)
    short_side, crop = view_size(model, config)
    given = dict(options)
    if spec.fit.grid_option and crop is not None:
        side = crop // model.backbone.patch_size
        given.setdefault(spec.fit.grid_option, (side, side))
    if spec.fit.classes_option:
        about: Task = options.get("task", spec.tasks[0])
        shown_only = isinstance(model.backbone, ReadsWords)
        classes = fit_classes(few, setting, about, shown_only=shown_only)
        given.setdefault(spec.fit.classes_option, classes)
    learner = build_system(system, model.backbone, given, seed=seed)
    if learner.num_learned() == 0:
        raise SegtuneError(
            f"{system} learns nothing; choose {', '.join(systems_for(model.backbone.kind))}"
        )
    stages = make_stages(model, dataset, templates, setting)
    learner.start(stages[-1].words, seed=seed)
    task: Task = getattr(learner.config, "task", spec.tasks[0])
    if task != "semantic":
        require_instances(few, what=f"task {task}")
    view_config = ViewConfig(short_side, crop, config.scale, config.flip, config.distort)
    resolution = Resolution.of(short_side, crop=crop)
    return FitPlan(
        model=model,
        learner=learner,
        dataset=dataset,
        few=few,
        stages=stages,
        views=Views(few, view_config, seed=seed, task=task),
        setting=setting,
        templates=templates,
        resolution=resolution if model.backbone.uses_windows else replace(resolution, crop=None),
        config=config,
        shots=shots,
        shots_by=shots_by,
        seed=seed,
    )


def view_size(model: Segmenter, config: FitConfig) -> tuple[int, int | None]:
    """Returns the short side of images and the side of the crops of a fit, in pixels.

    The crop is a multiple of the patch size; None where the model looks at whole images.
    """
    backbone = model.backbone
    short_side, crop = config.short_side or model.resolution.short_side, config.crop
    if crop is None and backbone.uses_windows:
        crop = min(short_side, model.resolution.crop or short_side)
    if crop is None:
        return short_side, None
    return short_side, max(crop // backbone.patch_size, 1) * backbone.patch_size


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
