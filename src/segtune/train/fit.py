"""Learning prompts from a few labelled images: `segtune.fit` and `segtune fit`.

The frozen features of a fixed pool of views are computed once; the loop then touches only what is
learned. The same function trains on whole data sets (`views=0`: fresh views in every step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from segtune.data.formats import open_dataset
from segtune.data.regions import require_instances
from segtune.data.samples import Subset
from segtune.data.shots import by_class, by_image
from segtune.errors import SegtuneError
from segtune.ops.files import cache_dir
from segtune.ops.labels import inductive_labels, transductive_labels
from segtune.ops.set_loss import MaskTargets, select_classes
from segtune.prompts import Prompts
from segtune.segmenter import Segmenter
from segtune.systems import SYSTEMS, build_system, default_system, systems_for
from segtune.systems.base import System, Targets, Words
from segtune.train.feature_cache import FeatureCache, cache_key
from segtune.train.loop import Batch, LoopConfig, optimise
from segtune.train.views import (
    EncodedViews,
    ViewConfig,
    Views,
    encode,
    labels_of,
    on_device,
    rounded_up,
    same_size,
)
from segtune.types import Dataset, Resolution, Task, TemplateSet
from segtune.vocabulary.templates import TemplateSpec, read_templates

if TYPE_CHECKING:
    from accelerate import Accelerator

Setting = Literal["auto", "supervised", "inductive", "transductive"]


@dataclass(frozen=True)
class FitConfig:
    """How a fit learns; defaults suit a few images and a CLIP, `default_config` any system.

    Attributes:
        loop: optimiser, schedule, steps.
        batch: views per step.
        views: augmented views per image whose features are computed once; 0 draws fresh ones.
        short_side, crop: pixels, see `ViewConfig`; None takes the model's resolution, which is the
            whole image for models that do not look through windows.
        scale, flip, distort: see `ViewConfig`.
        cache: where encoded views are kept; "disk" leaves them in the cache of segtune, for further
            fits with the same model, data and views.
        cache_half: keep them in float16.
        setting: "supervised" learns from all labels; "inductive" shows only classes tagged "seen";
            "transductive" adds, in the second half, self-made labels on pixels of the other
            classes. "auto" is inductive where the vocabulary has unseen classes.
    """

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=400, lr=1e-3, warmup_steps=20, clip_norm=1.0)
    )
    batch: int = 4
    views: int = 8
    short_side: int | None = None
    crop: int | None = None
    scale: tuple[float, float] = (0.75, 1.5)
    flip: bool = True
    distort: bool = True
    cache: Literal["memory", "disk"] = "memory"
    cache_half: bool = False
    setting: Setting = "auto"


def default_config(system: str) -> FitConfig:
    """Returns the settings with which a system is fitted where none are given.

    Prompts of a SEEM see whole images, mirrored or not, as in the paper; the rates were chosen on
    the validation split of a synthetic world, as the paper's were lost.
    """
    if "two-stage" in SYSTEMS[system].kinds:
        return _two_stage_config(system)
    if "seem" not in SYSTEMS[system].kinds:
        return FitConfig()
    loop = LoopConfig(
        steps=300,
        lr=SEEM_RATES[system],
        weight_decay=1e-4,
        warmup_steps=10,
        clip_norm=1.0 if system in ("coop", "locn") else None,  # steep inside the text encoder
        optimizer="sgd",
    )
    return FitConfig(loop=loop, batch=4, views=2, scale=(1.0, 1.0), distort=False)


def _two_stage_config(system: str) -> FitConfig:
    """Returns the settings of systems that learn from annotated regions of fresh views."""
    if system == "simbaseline":  # the paper's rates for its words
        loop = LoopConfig(steps=400, lr=0.02, weight_decay=5e-4, warmup_steps=20, optimizer="sgd")
    else:  # the paper's rate for mask prompts (its released script has 0.05)
        loop = LoopConfig(steps=400, lr=0.02, weight_decay=0.0, warmup_steps=20)
    return FitConfig(loop=loop, batch=4, views=0)


SEEM_RATES = {
    "ssprompt": 0.02,
    "spaprompt": 0.3,
    "semprompt": 0.02,
    "coop": 0.05,
    "locn": 0.2,
    "vspl": 0.01,
    "seem": 0.01,
}
"""Chosen on the validation split of `jargon`, seed 0. With AdamW every class embedding moves at the
same pace, also those of classes that the images do not show, which forgets them."""


@dataclass(frozen=True)
class Stage:
    """Which classes a part of the run sees, and how label maps are rewritten for it."""

    words: Words
    seen_ids: tuple[int, ...] | None = None
    unseen_ids: tuple[int, ...] = ()

    def targets(self, labels: torch.Tensor, masks: Sequence[MaskTargets] = ()) -> Targets:
        """Returns the targets of label maps (B, H, W) and objects in ids of the full vocabulary."""
        if self.seen_ids is not None:
            masks = [select_classes(objects, self.seen_ids) for objects in masks]
            return Targets(inductive_labels(labels, self.seen_ids), masks)
        if self.unseen_ids:
            marked = transductive_labels(labels, self.unseen_ids)
            annotated = [~torch.isin(m.class_ids, torch.tensor(self.unseen_ids)) for m in masks]
            masks = [
                MaskTargets(m.class_ids[keep], m.masks[keep])
                for m, keep in zip(masks, annotated, strict=True)
            ]
            return Targets(marked, masks, pseudo_ids=self.unseen_ids)
        return Targets(labels, masks)


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

    Raises:
        SegtuneError: the system learns nothing, or data and options do not fit together.

    Example:
        >>> import segtune
        >>> from segtune.train.loop import LoopConfig
        >>> config = segtune.FitConfig(loop=LoopConfig(steps=2), views=1, short_side=64)
        >>> prompts = segtune.fit(segtune.load(), "synthetic:jargon", shots=1, config=config)
        >>> prompts.system, len(prompts.vocabulary) > 10
        ('ssprompt', True)
    """
    system = system or default_system(model.backbone.kind)
    config = config or default_config(system)
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
    # The pixel knowledge of RPN lives on the grid of the training views.
    if system == "rpn" and crop is not None:
        given.setdefault("train_grid", (crop // stride, crop // stride))
    setting = resolve_setting(config.setting, dataset)
    if model.backbone.kind in ("seem", "sam", "sam3"):  # one learned row per class of the fit
        given.setdefault("classes", fit_classes(dataset, setting))
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
    task: Task = getattr(learner.config, "task", "semantic")
    if task != "semantic":
        require_instances(few, what=f"task {task}")
    views = Views(few, view_config, seed=seed, task=task)
    batch_at = _batches(
        learner, views, stages, config, seed=seed, progress=progress, accelerator=accelerator
    )
    training = {
        "data": dataset.name,
        "split": dataset.split,
        "shots": shots,
        "shots_by": shots_by,
        "images": few_ids(few) if len(few) <= 200 else len(few),
        "seed": seed,
        "setting": setting,
        "config": asdict(config),
    }

    def prompts_now() -> Prompts:
        return Prompts(
            system=system,
            options=learner.config_values(),
            model=model.backbone.name,
            fingerprint=model.backbone.fingerprint,
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
    checkpoint = path.with_name(path.name + ".checkpoint") if path else None
    optimise(
        learner,
        batch_at,
        config.loop,
        seed=seed,
        checkpoint=checkpoint,
        identity=identity,
        log=path.with_name(path.name + ".log.jsonl") if path else None,
        progress=progress,
        accelerator=accelerator,
        after_step=None if on_step is None else lambda done: on_step(done, prompts_now),
    )
    prompts = prompts_now()
    if path is not None and (accelerator is None or accelerator.is_main_process):
        prompts.save(path)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
    return prompts


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


def fit_classes(dataset: Dataset, setting: Setting) -> tuple[str, ...]:
    """Returns the names of the classes that labels are shown of."""
    hidden = () if setting == "supervised" else dataset.vocabulary.ids_in("unseen")
    return tuple(c.name for i, c in enumerate(dataset.vocabulary) if i not in set(hidden))


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


def feature_cache(system: System, views: Views, config: FitConfig) -> FeatureCache:
    """Returns where the features of these views are kept; on disk under all that they depend on."""
    if config.cache == "memory":
        return FeatureCache(half=config.cache_half)
    backbone: Any = system.backbone
    key = cache_key(
        system=system.name,
        options=system.config_values(),
        data=[views.dataset.name, few_ids(views.dataset), views.digest()],
        views=asdict(views.config),
        num_views=config.views,
        seed=views.seed,
        half=config.cache_half,
    )
    folder = cache_dir() / "features" / backbone.fingerprint / key
    return FeatureCache(folder, half=config.cache_half)


def _batches(
    system: System,
    views: Views,
    stages: tuple[Stage, Stage],
    config: FitConfig,
    *,
    seed: int,
    progress: bool,
    accelerator: Accelerator | None,
) -> Callable[[int], Batch]:
    """Returns the function from a step to its batch; processes take parts of one larger draw."""
    num_images = len(views.dataset)
    pool = None
    if config.views:
        cache = feature_cache(system, views, config)
        pool = EncodedViews(system, views, num_views=config.views, cache=cache, progress=progress)
    half = config.loop.steps // 2
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)

    def batch_at(step: int) -> Batch:
        stage = stages[0] if step < half else stages[1]
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        draws = torch.randint(num_images, (world * config.batch,), generator=generator)
        images = draws[rank::world].tolist()
        if pool is not None:
            draws = torch.randint(pool.num_views, (world * config.batch,), generator=generator)
            numbers = draws[rank::world].tolist()
            features, labels, masks = pool.batch(list(zip(images, numbers, strict=True)))
        else:
            drawn = [views.view(image, step) for image in images]
            if views.config.crop is None:
                sizes = [view.labels.shape for view in drawn]
                drawn = same_size(drawn, rounded_up(sizes, system.stride), system.padding)
            features, labels = encode(system, drawn), labels_of(system, drawn)
            masks = [on_device(view.masks, labels.device) for view in drawn]
        return Batch(features, stage.words, stage.targets(labels, masks))

    return batch_at
