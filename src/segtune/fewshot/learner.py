"""The prompts of a system as something that the training loop trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from segtune.fewshot.batches import Batch
from segtune.systems.base import System
from segtune.train.checkpoints import Stateful
from segtune.train.config import LoopConfig
from segtune.train.loop import Pace, train
from segtune.train.run_files import RunFiles
from segtune.train.trainable import Trainable

if TYPE_CHECKING:
    from accelerate import Accelerator


class Learner(Trainable):
    """What a system learns; its backbone is never touched.

    Args:
        system: its prompts are trained in place.
        config: rates, decay and optimiser.
        factors: of the rates, one for each parameter group of the system; a group with 0 stays.
    """

    def __init__(
        self, system: System, config: LoopConfig, factors: Sequence[float] | None = None
    ) -> None:
        self.system, self.config, self.factors = system, config, factors

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Returns the losses of the system."""
        return self.system.loss(batch.features, batch.words, batch.targets)

    def parameters(self) -> Iterable[nn.Parameter]:
        """Returns the prompts."""
        return self.system.prompts.parameters()

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns AdamW, or SGD with momentum, with the groups of the system."""
        config = self.config
        groups = self.system.parameter_groups(config.lr, config.weight_decay)
        for group, factor in zip(groups, self.factors or (), strict=self.factors is not None):
            group["lr"] = factor * group.get("lr", config.lr)
        rate, decay = config.lr, config.weight_decay
        made: torch.optim.Optimizer
        if config.optimizer == "sgd":
            made = torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=decay)
        else:
            made = torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
        return {"optimizer": made}

    def state(self) -> dict[str, Stateful]:
        """Returns the prompts."""
        return {"prompts": self.system.prompts}


def optimise(
    system: System,
    batch_at: Callable[[int], Batch],
    config: LoopConfig,
    *,
    seed: int = 0,
    factors: Sequence[float] | None = None,
    files: RunFiles | None = None,
    ahead: bool = False,
    progress: bool = True,
    accelerator: Accelerator | None = None,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Trains the prompts of a system in place.

    Args:
        seed: of dropout and gate noise.
        factors: see `Learner`.

    The other arguments are those of `segtune.train.loop.train`.
    """
    system.train()
    train(
        Learner(system, config, factors),
        batch_at,
        Pace(config.steps, config.rate, config.clip_norm, config.save_every),
        files=files,
        seed=seed,
        ahead=ahead,
        progress=progress,
        title="fit",
        accelerator=accelerator,
        on_step=on_step,
    )
    system.train(False)
