"""The processes and the precision of a run, by accelerate; one process in float32 without it.

No wrapper goes around the model: what is learned may be a few kilobytes of a large frozen one, so
gradients are averaged as one flat tensor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from segtune.errors import SegtuneError

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["fp32", "bf16", "fp16"]
"""Number format of the forward pass; weights and losses are float32."""
SMALLEST_SCALE = 2.0**-14
"""Of float16 losses; where gradients overflow even then, the run has diverged."""


def make_accelerator(precision: Precision) -> Accelerator:
    """Returns the accelerator of this process.

    Raises:
        SegtuneError: the precision is not to be had here, or not after another one.
    """
    from accelerate import Accelerator

    try:
        made = Accelerator(mixed_precision="no" if precision == "fp32" else precision)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise SegtuneError(f"precision={precision} is not possible here: {reason}") from None
    if precision == "fp16" and made.device.type == "cpu":
        raise SegtuneError("precision=fp16 needs an accelerator; give precision=bf16 or fp32")
    return made


class Processes:
    """What a loop asks of accelerate.

    Args:
        accelerator: None for one process in float32.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.is_main: bool = accelerator is None or accelerator.is_main_process
        self.count: int = 1 if accelerator is None else accelerator.num_processes
        self._scaler: torch.amp.GradScaler | None = getattr(accelerator, "scaler", None)

    def check_known(self, path: Path) -> None:
        """Raises where there are other processes that know nothing of each other.

        Args:
            path: a file that all of them would write.
        """
        if self._accelerator is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise SegtuneError(
                f"several processes would write {path}, but this training runs in one; start it "
                "without `accelerate launch`"
            )

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context of forward passes."""
        return nullcontext() if self._accelerator is None else self._accelerator.autocast()

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss; those of float16 are scaled until `unscale`."""
        if self._accelerator is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self._accelerator.backward(loss)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their mean over processes.

        A parameter that only some processes used counts as zero in the others; one that none used
        keeps no gradient.
        """
        if self.count == 1:
            return
        given = list(parameters)
        used = torch.tensor([p.grad is not None for p in given], device=given[0].device)
        used = self._reduce(used.float(), "sum") > 0
        shared = [p for p, is_used in zip(given, used.tolist(), strict=True) if is_used]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
        if not grads:
            return
        flat = self._reduce(torch.cat([grad.flatten() for grad in grads]), "mean")
        means = torch.split(flat, [grad.numel() for grad in grads])
        for parameter, mean in zip(shared, means, strict=True):
            parameter.grad = mean.view_as(parameter)

    def mean(self, value: Tensor) -> Tensor:
        """Returns the mean of a number over processes."""
        return value if self.count == 1 else self._reduce(value.detach().clone(), "mean")

    def unscale(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Gives float16 gradients their true size."""
        if self._scaler is not None:
            for optimizer in optimizers:
                self._scaler.unscale_(optimizer)

    def step(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Moves the weights; float16 leaves out steps whose gradients overflowed."""
        for optimizer in optimizers:
            if self._scaler is None:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()

    @property
    def may_overflow(self) -> bool:
        """Whether infinite gradients are no more than a reason to scale losses down."""
        return self._scaler is not None and self._scaler.get_scale() > SMALLEST_SCALE

    def wait(self) -> None:
        """Returns once all processes are here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        """Returns plain values for a checkpoint."""
        return {} if self._scaler is None else {"scaler": self._scaler.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state` returned; nothing where that was another precision."""
        if self._scaler is not None and "scaler" in state:
            self._scaler.load_state_dict(dict(state["scaler"]))

    def _reduce(self, value: Tensor, reduction: str) -> Tensor:
        assert self._accelerator is not None
        return cast(Tensor, self._accelerator.reduce(value, reduction=reduction))
