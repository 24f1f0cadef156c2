"""Every setting of learning on mask-category pairs, with the published values as presets.

`code` marks the released scripts, `paper` the paper; they differ in batch and rate of the mask
prompts. Both are for ViT-L/14; the scripts for ViT-B/16 fine-tune with batches four times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from segtune.errors import SegtuneError
from segtune.storage.typed import require
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind
from segtune.train.schedules import cosine_with_warmup
from segtune.trainers.pairs.batches import Augment
from segtune.trainers.pairs.loss import Targets

SYSTEM = "ovseg/pairs"
"""`system` of these recipes."""
Mode = Literal["ft", "mpt", "joint"]


@dataclass(frozen=True)
class Stage:
    """One training run; what it leaves is what the next stage starts from.

    Attributes:
        mode: "ft" learns the image encoder, "mpt" mask prompts, "joint" both. The logit scale is
            learned too, and kept where the image encoder is.
        epochs: passes over the pairs.
        steps: optimiser steps, in place of `epochs`.
        batch: pairs per step.
        lr: peak rate of the image encoder.
        prompt_lr: peak rate of the mask prompts.
        weight_decay: of the matrices of the image encoder; prompts have none.
        warmup: steps of the linear rise; a cosine to zero follows.
        depth: layers with mask prompts.
    """

    mode: Mode
    epochs: int = 5
    steps: int | None = None
    batch: int = 128
    lr: float = 5e-6
    prompt_lr: float = 0.05
    weight_decay: float = 0.2
    warmup: int = 100
    depth: int = 3

    def __post_init__(self) -> None:
        require(self, "epochs", "steps", "batch", "depth", least=1)
        require(self, "warmup", "weight_decay", least=0)
        require(self, "lr", "prompt_lr", above=0)

    def pace(self, steps: int, *, save_every: int) -> Pace:
        """Returns a linear rise and half a cosine to zero, with gradients as they are."""
        warmup = min(self.warmup, steps)

        def rate(step: int, peak: float) -> float:
            return peak * cosine_with_warmup(step, base_lr=1.0, steps=steps, warmup=warmup)

        return Pace(steps, rate, save_every=save_every)


STAGES: Mapping[str, Mapping[str, Any]] = {
    "code": {},
    "paper": {"batch": 256, "prompt_lr": 0.02},
    "code-b16": {"batch": 512},  # of the image encoder; the prompts were learned on L/14 only
    "paper-b16": {"batch": 1024, "prompt_lr": 0.02},
    # The bundled CLIP on 1500 pairs of 200 scenes; chosen on `val`, with labels as pairs.
    "tiny": {"batch": 64, "epochs": 2, "lr": 1e-4, "warmup": 20},
    "tiny-prompts": {"batch": 64, "epochs": 4, "warmup": 20},
}
"""Preset -> settings of a stage that differ from the defaults."""


@dataclass(frozen=True)
class PairRecipe:
    """Everything that a run depends on.

    Attributes:
        model: CLIP by name or path.
        name: of the new model folder; that of the CLIP with "-ft" where empty.
        pairs: file of pairs (`segtune mine`) or table of released crops; None takes the labelled
            regions of `data`.
        data: what `open_dataset` reads; with `pairs`, where images are found by sample id.
        split, layout: of `data`.
        limit: the first images of `data` only, where there is no file of pairs.
        min_score: pairs with a lower score are left out.
        stages: one after the other: ("ft",), ("mpt",), ("ft", "mpt"), ("joint",), ...
        targets: see `loss.contrast`.
        text_template: what the text encoder reads in training; `{}` is the word of a pair.
        templates: sentences around words when regions are scored, and in the prompt file.
        fill: paint of the background, see `RegionConfig`.
        mask_from_fill_color: paint of released crops; their mask is every other pixel.
        scale, ratio: of the random crop.
        short_side: of images when a two-stage model uses the prompts; in the prompt file.
        evaluate: labelled data whose regions are named before and after every stage; None scores
            nothing. `evaluate_limit` images of the split `evaluate_split`.
        seed: of order, crops and initial prompts.
        precision: "bf16" runs the image encoder in that type.
        save_every: steps between checkpoints.
    """

    model: str = "clip-vit-tiny"
    name: str = ""
    pairs: str | None = None
    data: str | None = None
    split: str = "train"
    layout: str | None = None
    limit: int | None = None
    min_score: float | None = None
    stages: tuple[Stage, ...] = (Stage("ft"),)
    targets: Targets = "identity"
    text_template: str = "{}"
    templates: str = "vild_14"
    fill: Literal["mean", "zero"] = "mean"
    mask_from_fill_color: tuple[int, int, int] = (124, 116, 103)
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    short_side: int = 640
    evaluate: str | None = None
    evaluate_split: str = "val"
    evaluate_limit: int | None = None
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    save_every: int = 200

    def __post_init__(self) -> None:
        require(self, "limit", "short_side", "evaluate_limit", "save_every", least=1)
        if self.pairs is None and self.data is None:
            raise SegtuneError("a recipe for pairs needs `pairs:`, `data:` or both")
        if not self.stages:
            raise SegtuneError("a recipe for pairs needs `stages:`, for example [{mode: ft}]")
        if self.text_template.count("{}") != 1:
            raise SegtuneError(f"text_template {self.text_template!r} must contain {{}} once")
        Augment(self.scale, self.ratio)


def expanded(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings with every stage written out.

    A stage is a mapping with `mode`, perhaps `preset` (a key of `STAGES`), and what differs. Names
    of a stage's settings outside of `stages` are for all stages.

    Example:
        >>> expanded({"data": "photos", "stages": [{"mode": "mpt"}], "batch": 9})
        {'data': 'photos', 'stages': [{'mode': 'mpt', 'batch': 9}]}
    """
    own = {item.name for item in fields(PairRecipe)}
    stage_fields = {item.name for item in fields(Stage)} - own - {"mode"} | {"preset"}
    shared = {key: values[key] for key in values if key in stage_fields}
    stages = values.get("stages", [{"mode": "ft"}])
    if not isinstance(stages, list | tuple) or not all(isinstance(s, Mapping) for s in stages):
        raise SegtuneError(f"stages are {stages!r}; expected a list such as [{{mode: ft}}]")
    rest = {key: values[key] for key in values if key not in shared and key != "stages"}
    return rest | {"stages": [_stage({**stage, **shared}) for stage in stages]}


def _stage(settings: Mapping[str, Any]) -> dict[str, Any]:
    preset = settings.get("preset", "code")
    if preset not in STAGES:
        raise SegtuneError(f"there is no preset {preset!r} of stages; use {', '.join(STAGES)}")
    if "mode" not in settings:
        raise SegtuneError("a stage needs `mode:`, one of ft, mpt and joint")
    values = {**STAGES[preset], **settings}
    return {key: value for key, value in values.items() if key != "preset"}


KIND = RecipeKind(PairRecipe, "recipes/ovseg/ft-tiny.yaml", system=SYSTEM, expand=expanded)
make_recipe, read_recipe = KIND.make, KIND.read
