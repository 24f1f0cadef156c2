"""How prompts are optimised; imports no torch, so that defaults can be declared anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segtune.storage.typed import require
from segtune.train.schedules import poly_with_warmup


@dataclass(frozen=True)
class LoopConfig:
    """How a run is optimised; the defaults are the RPN recipe's, apart from the step count.

    Attributes:
        steps: optimiser steps.
        lr: of AdamW for prompts and head (2e-5 times the multiplier 10 of the official configs).
        weight_decay: of every group.
        warmup: steps of the linear rise; at most a tenth of the run.
        power, min_lr: of the polynomial decay.
        clip_norm: largest gradient norm; None leaves gradients alone.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        save_every: steps between checkpoints, where a run keeps any.
    """

    steps: int = 20_000
    lr: float = 2e-4
    weight_decay: float = 0.01
    warmup: int = 1500
    power: float = 0.9
    min_lr: float = 1e-6
    clip_norm: float | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    save_every: int = 200

    def __post_init__(self) -> None:
        require(self, "steps", "save_every", least=1)
        require(self, "warmup", "weight_decay", "power", "min_lr", least=0)
        require(self, "lr", "clip_norm", above=0)

    def rate(self, step: int, peak: float) -> float:
        """Returns the rate of a step for a parameter group with this peak rate."""
        return poly_with_warmup(
            step,
            base_lr=peak,
            steps=self.steps,
            power=self.power,
            min_lr=self.min_lr,
            warmup=min(self.warmup, self.steps // 10),
        )
