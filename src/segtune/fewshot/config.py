"""Settings of a fit, and the ones that each system is fitted with where none are given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
        if self.rate_factors and (self.folds < 2 or self.views < 1):
            raise SegtuneError(
                f"folds={self.folds}, views={self.views}: held-out shots need at least 2 folds and "
                "stored views; give rate_factors=() to take the rates as they are"
            )


def default_config(system: str, task: Task = "semantic") -> FitConfig:
    """Returns the settings with which a system is fitted where none are given.

    Prompts of a SEEM see whole images, mirrored or not, as in the paper; the rates were chosen on
    the validation split of a synthetic world, as the paper's were lost. Prompts that start at the
    zero-shot model are compared with it on held-out shots first.
    """
    if "two-stage" in SYSTEMS[system].kinds:
        return _two_stage_config(system)
    if "seem" not in SYSTEMS[system].kinds:
        return FitConfig()
    loop = LoopConfig(
        steps=300,
        lr=SEEM_RATES[system],
        weight_decay=1e-4,
        warmup=10,
        clip_norm=1.0 if system in ("coop", "locn") else None,  # steep inside the text encoder
        optimizer="sgd",
    )
    config = FitConfig(loop=loop, batch=4, views=2, scale=(1.0, 1.0), distort=False)
    if system in RATE_FACTORS:
        # Objects are compared by their loss, which fast queries lower most while they forget the
        # words outside of the fit (20 points of mIoU on `base`) and find no more objects.
        factors = RATE_FACTORS[system] if task == "semantic" else (1.0,)
        return replace(config, rate_factors=factors, trial_steps=100)
    return config


def _two_stage_config(system: str) -> FitConfig:
    """Returns the settings of systems that learn from annotated regions of fresh views."""
    if system == "simbaseline":
        # A tenth of the paper's rate, and few of its 16,000 steps: chosen on `val` of base-15-5.
        loop = LoopConfig(steps=600, lr=0.002, weight_decay=5e-4, warmup=20, optimizer="sgd")
    else:  # the paper's rate for mask prompts (its released script has 0.05)
        loop = LoopConfig(steps=400, lr=0.02, weight_decay=0.0, warmup=20)
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

RATE_FACTORS: dict[str, tuple[float | tuple[float, ...], ...]] = {
    # (queries, class embeddings): new names, or names that are right in images that look different
    "ssprompt": (1.0, (10.0, 0.1)),
    "spaprompt": (1.0, 0.1),
    "semprompt": (1.0, 0.1),
}
"""What held-out shots choose from, besides the unfitted model."""
