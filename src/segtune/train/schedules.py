"""Learning-rate schedules as pure functions of the step: nothing to store, nothing to restore.

`poly_with_warmup` is the schedule of mmsegmentation that RPN and ZegCLIP train with (power 0.9,
floor 1e-6, linear warm-up over 1500 steps from a factor of 1e-6); `cosine_with_warmup` is the usual
one for training from scratch.
"""

from __future__ import annotations

import math

from segtune.errors import SegtuneError


def poly_with_warmup(
    step: int,
    *,
    base_lr: float,
    num_steps: int,
    power: float = 0.9,
    min_lr: float = 1e-6,
    num_warmup_steps: int = 1500,
    warmup_factor: float = 1e-6,
) -> float:
    """Returns the learning rate of `step`: polynomial decay to a floor, after a linear warm-up.

    As in mmcv the warm-up multiplies the decaying rate, it does not delay it:

        decay(step)  = (base_lr - min_lr) (1 - step / num_steps)^power + min_lr
        warm-up      = decay(step) (1 - (1 - step / num_warmup_steps) (1 - warmup_factor))

    Args:
        step: 0-based; steps beyond `num_steps` stay at the floor.
        base_lr: rate of this parameter group before warm-up and decay. A group whose rate lies
            below `min_lr` keeps the lower rate as its floor.
        num_steps: steps of the whole run.

    Example:
        >>> rates = [poly_with_warmup(s, base_lr=2e-5, num_steps=20_000) for s in (0, 1500, 20_000)]
        >>> [f"{rate:.2e}" for rate in rates]
        ['2.00e-11', '1.87e-05', '1.00e-06']
    """
    _check(step, num_steps)
    floor = min(min_lr, base_lr)
    left = 1.0 - min(step, num_steps) / num_steps
    rate = (base_lr - floor) * left**power + floor
    if step < num_warmup_steps:
        rate *= 1.0 - (1.0 - step / num_warmup_steps) * (1.0 - warmup_factor)
    return rate


def cosine_with_warmup(
    step: int,
    *,
    base_lr: float,
    num_steps: int,
    num_warmup_steps: int,
    min_lr: float = 0.0,
) -> float:
    """Returns the learning rate of `step`: linear rise to `base_lr`, then half a cosine down.

    The first step already moves (1 / num_warmup_steps of the base rate) and the step `num_steps`,
    which is never taken, is where `min_lr` is reached.

    Example:
        >>> rates = [cosine_with_warmup(s, base_lr=1.0, num_steps=100, num_warmup_steps=10)
        ...          for s in (0, 9, 55, 100)]
        >>> [round(rate, 3) for rate in rates]
        [0.1, 1.0, 0.5, 0.0]
    """
    _check(step, num_steps)
    if step < num_warmup_steps:
        return base_lr * (step + 1) / num_warmup_steps
    progress = (min(step, num_steps) - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return min_lr + 0.5 * (base_lr - min_lr) * (1.0 + math.cos(math.pi * progress))


def _check(step: int, num_steps: int) -> None:
    if step < 0 or num_steps < 1:
        raise SegtuneError(
            f"step {step} of {num_steps} steps; expected step >= 0 and at least one step"
        )
