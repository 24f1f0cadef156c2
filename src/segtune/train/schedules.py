"""Learning-rate schedules as pure functions of the step: nothing to store, nothing to restore.

`poly_with_warmup` is the schedule of mmsegmentation that RPN and ZegCLIP train with (power 0.9,
floor 1e-6, linear warm-up over 1500 steps from a factor of 1e-6); `cosine_with_warmup` is the usual
one for training from scratch, `cosine_with_restarts` the same with a second wind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from segtune.errors import SegtuneError

Schedule = Callable[[int, float], float]
"""From a step, 0-based, and the peak rate of a parameter group to its rate in that step."""


def poly_with_warmup(
    step: int,
    *,
    base_lr: float,
    steps: int,
    power: float = 0.9,
    min_lr: float = 1e-6,
    warmup: int = 1500,
    warmup_factor: float = 1e-6,
) -> float:
    """Returns the learning rate of `step`: polynomial decay to a floor, after a linear warm-up.

    As in mmcv the warm-up multiplies the decaying rate, it does not delay it:

        decay(step)  = (base_lr - min_lr) (1 - step / steps)^power + min_lr
        warm-up      = decay(step) (1 - (1 - step / warmup) (1 - warmup_factor))

    Args:
        step: 0-based; steps beyond `steps` stay at the floor.
        base_lr: rate of this parameter group before warm-up and decay. A group whose rate lies
            below `min_lr` keeps the lower rate as its floor.
        steps: steps of the whole run.

    Example:
        >>> rates = [poly_with_warmup(s, base_lr=2e-5, steps=20_000) for s in (0, 1500, 20_000)]
        >>> [f"{rate:.2e}" for rate in rates]
        ['2.00e-11', '1.87e-05', '1.00e-06']
    """
    _check(step, steps)
    floor = min(min_lr, base_lr)
    left = 1.0 - min(step, steps) / steps
    rate: float = (base_lr - floor) * left**power + floor
    if step < warmup:
        rate *= 1.0 - (1.0 - step / warmup) * (1.0 - warmup_factor)
    return rate


def cosine_with_warmup(
    step: int,
    *,
    base_lr: float,
    steps: int,
    warmup: int,
    min_lr: float = 0.0,
) -> float:
    """Returns the learning rate of `step`: linear rise to `base_lr`, then half a cosine down.

    The first step already moves (1 / warmup of the base rate) and the step `steps`,
    which is never taken, is where `min_lr` is reached.

    Example:
        >>> rates = [cosine_with_warmup(s, base_lr=1.0, steps=100, warmup=10)
        ...          for s in (0, 9, 55, 100)]
        >>> [round(rate, 3) for rate in rates]
        [0.1, 1.0, 0.5, 0.0]
    """
    _check(step, steps)
    if step < warmup:
        return base_lr * (step + 1) / warmup
    progress = (min(step, steps) - warmup) / max(1, steps - warmup)
    return min_lr + 0.5 * (base_lr - min_lr) * (1.0 + math.cos(math.pi * progress))


def cosine_with_restarts(
    step: int,
    *,
    base_lr: float,
    steps: int,
    warmup: int,
    restarts: Sequence[int] = (),
    min_lr: float = 0.0,
) -> float:
    """Returns the learning rate of `step`: a cosine that starts from the top again, warmed up once.

    Args:
        restarts: steps at which a new cosine begins; those from `steps` on are left out.

    Example:
        >>> rates = [cosine_with_restarts(s, base_lr=1.0, steps=20, warmup=0, restarts=(10,))
        ...          for s in (0, 9, 10, 15)]
        >>> [round(rate, 3) for rate in rates]
        [1.0, 0.024, 1.0, 0.5]
    """
    _check(step, steps)
    begins = [0, *(start for start in restarts if start < steps)]
    begin = max(start for start in begins if start <= step)
    end = min(start for start in (*begins, max(steps, step + 1)) if start > step)
    return cosine_with_warmup(
        step - begin,
        base_lr=base_lr,
        steps=end - begin,
        warmup=0 if begin else warmup,
        min_lr=min_lr,
    )


def _check(step: int, steps: int) -> None:
    if step < 0 or steps < 1:
        raise SegtuneError(
            f"step {step} of {steps} steps; expected step >= 0 and at least one step"
        )
