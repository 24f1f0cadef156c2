"""The training loop, for whatever answers as a `Trainable`: few-shot prompts and whole models.

    batch_at(step) ─ one step ahead ─► losses ─► gradients ─ averaged, cut, checked ─► optimisers
                                                             ─► after_step ─► log, checkpoint

A batch is a pure function of the step, so a run goes on from its step number alone: interrupted and
resumed, it takes exactly the steps that it would have taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from segtune.errors import SegtuneError
from segtune.train.ahead import batches_of
from segtune.train.processes import Processes
from segtune.train.run_files import RunFiles
from segtune.train.schedules import Schedule
from segtune.train.step_log import log_divergence, log_step
from segtune.train.trainable import Trainable

if TYPE_CHECKING:
    from accelerate import Accelerator

Optimizers = Mapping[str, torch.optim.Optimizer]


@dataclass(frozen=True)
class Pace:
    """How long and how fast a run learns.

    Attributes:
        steps: of the whole run.
        rate: from a step and the peak rate of a parameter group to its rate.
        clip_norm: largest norm of the gradient of everything learned; None leaves it alone.
        save_every: steps between checkpoints.
    """

    steps: int
    rate: Schedule
    clip_norm: float | None = None
    save_every: int = 100


def train(
    trainable: Trainable,
    batch_at: Callable[[int], Any],
    pace: Pace,
    *,
    files: RunFiles | None = None,
    seed: int | None = None,
    stop_after: int | None = None,
    ahead: bool = True,
    progress: bool = True,
    title: str = "train",
    accelerator: Accelerator | None = None,
    on_step: Callable[[int], None] | None = None,
) -> int:
    """Trains in place and returns the number of finished steps.

    Args:
        trainable: what learns.
        batch_at: from a step, 0-based, to its batch; the same whenever it is asked for, and without
            use of torch's global generator. Of several processes, each gets its own part.
        pace: steps, rates and intervals.
        files: where the run goes on from and what it writes; None keeps nothing.
        seed: sets torch's global generator (dropout, noise) anew in every step, and leaves the
            caller's alone. None goes on with the caller's, whose state is in the checkpoint.
        stop_after: leave after this step with a checkpoint, as an interruption would.
        ahead: make batches one step ahead, in a thread.
        progress: show a bar where the output is a terminal; `title` stands before it.
        accelerator: several processes and mixed precision; gradients are averaged.
        on_step: called with the number of finished steps, after the checkpoint; once more for the
            step that a run goes on from.

    Raises:
        SegtuneError: a loss or the gradient is not finite, which leaves weights and checkpoint as
            they were before the step; or the checkpoint belongs to another run.
    """
    processes = Processes(accelerator)
    optimizers = trainable.optimizers()
    peaks = {name: [g["lr"] for g in o.param_groups] for name, o in optimizers.items()}
    parts = {**trainable.state(), **optimizers}
    with _generator(seed):
        done = start = files.begin(parts, processes) if files else 0
        if done and on_step is not None:
            on_step(done)  # a kill may have come between the checkpoint and this
        end = min(pace.steps, stop_after or pace.steps)
        hidden = None if progress and processes.is_main else True  # None: where it is no terminal
        batches = batches_of(batch_at, start, end, ahead=ahead)
        bar = tqdm(batches, title, initial=start, total=end, disable=hidden)
        writes = files if processes.is_main else None
        began = time.monotonic()
        for batch in bar:
            if seed is not None:
                torch.manual_seed(_seed_of(seed, done))
            rate = _set_rates(optimizers, peaks, pace.rate, done)
            values = _learn(trainable, batch, processes)
            norm = _gradient_norm(trainable, optimizers, pace.clip_norm, processes)
            _check_finite(values["loss"], norm, done + 1, processes, writes)
            processes.step(optimizers.values())
            done += 1
            trainable.after_step(done)
            numbers = {name: value.item() for name, value in values.items()}
            bar.set_postfix(loss=f"{numbers['loss']:.3f}")
            if writes:
                seconds = round(time.monotonic() - began, 1)
                log_step(writes.log, done, {"seconds": seconds, "lr": rate, **numbers})
                if done % pace.save_every == 0 or done == end:
                    writes.save(done, parts, processes)
            if on_step is not None:
                on_step(done)
    return done


def _learn(trainable: Trainable, batch: Any, processes: Processes) -> dict[str, Tensor]:
    """Computes the gradients of a batch; returns its losses, "loss" being their sum."""
    for parameter in trainable.parameters():
        parameter.grad = None
    sums: dict[str, Tensor] = {}
    for part in trainable.parts(batch):
        with processes.autocast():
            losses = trainable.losses(part)
            total = torch.stack([v for k, v in losses.items() if not k.startswith("_")]).sum()
        processes.backward(total)
        for name, value in {**losses, "loss": total}.items():
            sums[name] = value.detach() + sums[name] if name in sums else value.detach()
    return {"loss": processes.mean(sums.pop("loss")), **sums}


def _gradient_norm(
    trainable: Trainable, optimizers: Optimizers, clip_norm: float | None, processes: Processes
) -> Tensor:
    """Averages gradients over processes and cuts them; returns their norm before the cut."""
    processes.average_gradients(trainable.parameters())
    processes.unscale(optimizers.values())
    return clip_grad_norm_(trainable.parameters(), math.inf if clip_norm is None else clip_norm)


def _check_finite(
    loss: Tensor, norm: Tensor, step: int, processes: Processes, files: RunFiles | None
) -> None:
    """Raises in all processes alike where a step would ruin the weights."""
    if loss.isfinite() and (norm.isfinite() or processes.may_overflow):
        return
    reason = f"the loss became {loss.item():.4g}, its gradient {norm.item():.4g}"
    if files:
        log_divergence(files.log, step, reason)
    raise SegtuneError(
        f"{reason} in step {step}; lower the rate (lr) and start again: type the same command with "
        "the other rate"
    )


def _set_rates(
    optimizers: Optimizers, peaks: Mapping[str, list[float]], rate: Schedule, step: int
) -> float:
    """Gives every parameter group the rate of the step; returns that of the first one."""
    rates = []
    for name, optimizer in optimizers.items():
        for group, peak in zip(optimizer.param_groups, peaks[name], strict=True):
            group["lr"] = rate(step, peak)
            rates.append(group["lr"])
    return float(rates[0])


@contextmanager
def _generator(seed: int | None) -> Iterator[None]:
    """Leaves torch's global generator to the caller where the loop seeds it by itself."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        yield


def _seed_of(seed: int, step: int) -> int:
    return (seed * 1_000_003 + step * 7_919 + 17) % (2**63)
