"""What the processes of a distributed training have to agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def mean_over_processes(
    count: float | Tensor, device: torch.device | None = None, *, at_least: float = 1.0
) -> Tensor:
    """Returns the mean of a count over all training processes, float32, at least 1.

    What sums over masks are divided by, so that every mask counts the same in every process.

    Args:
        count: of this process.
        device: of the result; None is that of `count`, or the CPU.
        at_least: lowest value.

    Example:
        >>> mean_over_processes(0), mean_over_processes(5)
        (tensor(1.), tensor(5.))
    """
    total = torch.as_tensor(count, dtype=torch.float32, device=device).clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total = total / dist.get_world_size()
    return total.clamp(min=at_least)
