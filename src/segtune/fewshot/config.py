"""Settings of a fit, and the ones that each system is fitted with where none are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from segtune.errors import SegtuneError
from segtune.systems import SYSTEMS
from segtune.train.config import LoopConfig
from segtune.types import Task

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
        rate_factors: candidates for factors of the rates, one number for each parameter group of
            the system, or one for all. They and the unfitted model are compared on held-out shots
            (`segtune.fewshot.trials`); the best is fitted to all shots, or nothing where the
            unfitted model wins. Empty takes the rates as they are.
        folds: parts into which the shots are divided for that; each part is held out once.
        trial_steps: steps of the fits that are compared; None takes those of `loop`.
    """

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=400, lr=1e-3, warmup=20, clip_norm=1.0)
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
    rate_factors: tuple[float | tuple[float, ...], ...] = ()
    folds: int = 2
    trial_steps: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or self.views < 0:
            raise SegtuneError(
                f"batch={self.batch}, views={self.views}: expected 1 or more, 0 or more"
            )
        if self.rate_factors and (self.folds < 2 or self.views < 1):
            raise SegtuneError(
                f"folds={self.folds}, views={self.views}: held-out shots need at least 2 folds and "
                "stored views; give rate_factors=() to take the rates as they are"
            )


def default_config(system: str, task: Task = "semantic") -> FitConfig:
    """Returns the settings of a system's spec, with which it is fitted where none are given."""
    given = SYSTEMS[system].fit
    loop = LoopConfig(
        steps=given.steps,
        lr=given.lr,
        weight_decay=given.weight_decay,
        warmup=given.warmup,
        clip_norm=given.clip_norm,
        optimizer=given.optimizer,
    )
    return FitConfig(
        loop=loop,
        batch=given.batch,
        views=given.views,
        scale=given.scale,
        distort=given.distort,
        rate_factors=given.factors_of(task),
        trial_steps=given.trial_steps,
    )
