"""Every setting of learning on mask-category pairs, with the published values as presets.

`code` marks the released scripts, `paper` the paper; they differ in batch and rate of the mask
prompts. Both are for ViT-L/14; the scripts for ViT-B/16 fine-tune with batches four times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from segtune.errors import SegtuneError
from segtune.systems.options import checked
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
        if min(self.epochs, self.batch, self.depth, self.steps or 1) < 1 or self.warmup < 0:
            raise SegtuneError(f"{self}: epochs, steps, batch and depth must be 1 or more")
        if not (self.lr > 0 and self.prompt_lr > 0 and self.weight_decay >= 0):
            raise SegtuneError(f"{self}: rates must be above 0, weight_decay 0 or more")


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
        if self.pairs is None and self.data is None:
            raise SegtuneError("a recipe for pairs needs `pairs:`, `data:` or both")
        if not self.stages:
            raise SegtuneError("a recipe for pairs needs `stages:`, for example [{mode: ft}]")
        if self.text_template.count("{}") != 1:
            raise SegtuneError(f"text_template {self.text_template!r} must contain {{}} once")
        Augment(self.scale, self.ratio)

    def to_dict(self) -> dict[str, Any]:
        """Returns every setting as plain values, ready for YAML."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"system": SYSTEM} | values


def make_recipe(settings: Mapping[str, Any]) -> PairRecipe:
    """Returns the recipe of plain values.

    A stage is a mapping with `mode`, perhaps `preset` (a key of `STAGES`), and what differs. Names
    of a stage's settings outside of `stages` are for all stages.

    Raises:
        SegtuneError: a setting is unknown or of another type.

    Example:
        >>> recipe = make_recipe({"data": "photos", "stages": [{"mode": "mpt"}], "batch": 9})
        >>> recipe.stages[0].batch, recipe.stages[0].prompt_lr
        (9, 0.05)
    """
    values = {key: value for key, value in settings.items() if key != "system"}
    own = {item.name for item in fields(PairRecipe)}
    stage_fields = {item.name for item in fields(Stage)} - own - {"mode"} | {"preset"}
    shared = {key: values.pop(key) for key in list(values) if key in stage_fields}
    stages = values.pop("stages", [{"mode": "ft"}])
    if not isinstance(stages, Sequence) or not all(isinstance(item, Mapping) for item in stages):
        raise SegtuneError(f"stages are {stages!r}; expected a list such as [{{mode: ft}}]")
    made = tuple(_stage({**stage, **shared}) for stage in stages)
    return PairRecipe(stages=made, **checked(PairRecipe, SYSTEM, values))


def _stage(settings: Mapping[str, Any]) -> Stage:
    values = dict(settings)
    preset = values.pop("preset", "code")
    if preset not in STAGES:
        raise SegtuneError(f"there is no preset {preset!r} of stages; use {', '.join(STAGES)}")
    if "mode" not in values:
        raise SegtuneError("a stage needs `mode:`, one of ft, mpt and joint")
    return Stage(**checked(Stage, "a stage", {**STAGES[preset], **values}))


def read_recipe(path: Path | str, *, overrides: Mapping[str, Any] | None = None) -> PairRecipe:
    """Returns the recipe in a YAML file, with some settings replaced."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}; try recipes/ovseg/ft-tiny.yaml")
    values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not isinstance(values, dict):
        raise SegtuneError(f"{path} is not a mapping of settings")
    return make_recipe({**values, **(overrides or {})})
