"""What the training loop asks of whatever is trained; the loop knows nothing else about it.

Few-shot prompts, whole CLIPs, mask proposals and the bundled models answer in some ten lines each.
What later trainings need has its place here too:

- *several processes with a frozen backbone*: `parameters` and `optimizers` name what is learned and
  nothing else; gradients of just these are averaged. `batch_at` gives each process its own part.
- *a cache that every step updates* (SegPrompt's class embeddings): a buffer inside of `state`.
  `losses` collects what this process saw, `after_step` adds it up over processes with one
  all-reduce and moves the buffer. It runs before the checkpoint is written, so a resumed run finds
  the cache of its step.
- *two stages* (Uni-OVSeg's alignment of masks, then of words): two trainables, each with a call of
  `train` and a folder of its own, the second built from what the first one left
  (`segtune.trainers.pairs.run` does so).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segtune.train.checkpoints import Stateful


class Trainable(Protocol):
    """Something with losses, parameters, optimisers and a state; subclass it for the defaults.

    A `nn.Module` has `parameters` already.
    """

    def losses(self, batch: Any, /) -> Mapping[str, Tensor]:
        """Returns named scalar losses of (a part of) a batch, already weighted.

        Their sum is minimised. Names that start with "_" are logged only. Mixed precision is opened
        by the loop where it was given an accelerator that has it; otherwise here, around what may
        run in it.
        """
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """Returns everything that gets gradients: what is cleared, averaged, cut and checked."""
        ...

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Returns fresh optimisers by name, each group at its peak rate; called once, at first."""
        ...

    def state(self) -> Mapping[str, Stateful]:
        """Returns what a checkpoint holds besides the optimisers, by name."""
        ...

    def parts(self, batch: Any, /) -> Sequence[Any]:
        """Returns a batch in parts that go through the model one after the other.

        Their losses must add up to those of the batch.
        """
        return [batch]

    def after_step(self, done: int, /) -> None:
        """Called after every optimiser step and before its checkpoint, by all processes.

        Args:
            done: number of finished steps.
        """
        return
