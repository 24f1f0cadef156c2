"""The one training loop: ask a system for its loss, step over its prompts, survive interruptions.

A batch is a pure function of the step, and the global generator is seeded anew at every step, so a
resumed run takes exactly the steps that the interrupted one would have taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from segtune.errors import SegtuneError
from segtune.systems.base import System, Targets, Words
from segtune.train.checkpoints import Stateful, load_checkpoint, read_state, save_checkpoint
from segtune.train.schedules import poly_with_warmup
from segtune.types import Features

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    features: Features
    words: Words
    targets: Targets


@dataclass(frozen=True)
class LoopConfig:
    """How a run is optimised; the defaults are the RPN recipe's, apart from the step count.

    Attributes:
        steps: optimiser steps.
        lr: of AdamW for prompts and head (2e-5 times the multiplier 10 of the official configs).
        weight_decay: of every group.
        warmup_steps: linear, from `warmup_factor`; at most a tenth of the run.
        power, min_lr: of the polynomial decay.
        clip_norm: largest gradient norm; None leaves gradients alone.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        save_every: steps between checkpoints, where a checkpoint path is given.
    """

    steps: int = 20_000
    lr: float = 2e-4
    weight_decay: float = 0.01
    warmup_steps: int = 1500
    power: float = 0.9
    min_lr: float = 1e-6
    clip_norm: float | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    save_every: int = 200

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0:
            raise SegtuneError(f"steps={self.steps}, lr={self.lr}: both must be above zero")


def optimise(
    system: System,
    batch_at: Callable[[int], Batch],
    config: LoopConfig,
    *,
    seed: int = 0,
    factors: Sequence[float] | None = None,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    log: Path | None = None,
    progress: bool = True,
    accelerator: Accelerator | None = None,
    after_step: Callable[[int], None] | None = None,
) -> None:
    """Trains `system.prompts` in place.

    Args:
        system: learned parameters are updated; the backbone is never touched.
        batch_at: the batch of a step (0-based), the same whenever it is asked for.
        config: optimiser, schedule and intervals.
        seed: of dropout and gate noise.
        factors: of the rates, one for each parameter group of the system; a group with 0 stays.
        checkpoint: file to resume from where it exists and to write to; None keeps nothing.
        identity: plain values that a checkpoint must share to be resumed; another run's file is
            refused.
        log: JSONL file, one line per step.
        progress: show a bar where the output is a terminal.
        accelerator: several devices and mixed precision; gradients are averaged over processes.
        after_step: called with the number of finished steps.

    Raises:
        SegtuneError: the loss is not finite, or the checkpoint belongs to another run.
    """
    groups = system.parameter_groups(config.lr, config.weight_decay)
    for group, factor in zip(groups, factors or (), strict=factors is not None):
        group["lr"] = factor * group.get("lr", config.lr)
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    parts: dict[str, Stateful] = {"prompts": system.prompts, "optimizer": optimizer}
    start = _resume(checkpoint, parts, dict(identity or {}))
    _cut_log(log, start)
    is_main = accelerator is None or accelerator.is_main_process
    bar = tqdm(
        range(start, config.steps),
        "fit",
        initial=start,
        total=config.steps,
        disable=None if progress and is_main else True,
    )
    system.train()
    with torch.random.fork_rng():
        for step in bar:
            torch.manual_seed(_seed_of(seed, step))
            _set_rates(optimizer, base_rates, config, step)
            losses = _step(system, batch_at(step), optimizer, config, step, accelerator)
            bar.set_postfix(loss=f"{losses['loss']:.3f}")
            if is_main:
                _write_log(log, step, losses, optimizer.param_groups[0]["lr"])
            done = step + 1
            if checkpoint and is_main and (done % config.save_every == 0 or done == config.steps):
                extra = {"identity": dict(identity or {})}
                save_checkpoint(checkpoint, step=done, parts=parts, extra=extra)
            if after_step is not None:
                after_step(done)
    system.train(False)


def _step(
    system: System,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    config: LoopConfig,
    step: int,
    accelerator: Accelerator | None,
) -> dict[str, float]:
    """One optimiser step; returns the losses as numbers."""
    optimizer.zero_grad(set_to_none=True)
    if accelerator is None:
        losses = system.loss(batch.features, batch.words, batch.targets)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
    else:
        with accelerator.autocast():
            losses = system.loss(batch.features, batch.words, batch.targets)
            total = torch.stack(list(losses.values())).sum()
        accelerator.backward(total)
        _average_gradients(system, accelerator)
    _check_finite(total, step)
    if config.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(system.prompts.parameters(), config.clip_norm)
    optimizer.step()
    return {name: value.item() for name, value in losses.items()} | {"loss": total.item()}


def _average_gradients(system: System, accelerator: Accelerator) -> None:
    """Means of the prompt gradients over processes: kilobytes, so no wrapper around the model."""
    if accelerator.num_processes > 1:
        for parameter in system.prompts.parameters():
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")


def _check_finite(loss: Tensor, step: int) -> None:
    if not math.isfinite(loss.item()):
        raise SegtuneError(
            f"the loss became {loss.item()} at step {step}; lower the learning rate (--lr) and "
            "start again; the last checkpoint is unchanged"
        )


def _set_rates(
    optimizer: torch.optim.Optimizer, base_rates: list[float], config: LoopConfig, step: int
) -> None:
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = poly_with_warmup(
            step,
            base_lr=base,
            num_steps=config.steps,
            power=config.power,
            min_lr=config.min_lr,
            num_warmup_steps=min(config.warmup_steps, config.steps // 10),
        )


def _resume(checkpoint: Path | None, parts: Mapping[str, Any], identity: dict[str, Any]) -> int:
    if checkpoint is None or not checkpoint.is_file():
        return 0
    # Through JSON, as a checkpoint cannot tell tuples from lists.
    stored = json.dumps(read_state(checkpoint)["extra"].get("identity"), sort_keys=True)
    if stored != json.dumps(identity, sort_keys=True):
        raise SegtuneError(
            f"{checkpoint} belongs to a run with other settings; delete it to start anew, or "
            "repeat the command that wrote it"
        )
    return load_checkpoint(checkpoint, parts=parts).step


def _write_log(log: Path | None, step: int, losses: Mapping[str, float], rate: float) -> None:
    if log is None:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    row = {"step": step, "lr": rate} | {name: round(value, 6) for name, value in losses.items()}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _cut_log(log: Path | None, start: int) -> None:
    """Drops the lines of steps that will be taken again."""
    if log is None or not log.is_file():
        return
    kept = [
        line
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.startswith("{") and line.endswith("}") and json.loads(line)["step"] < start
    ]
    log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _seed_of(seed: int, step: int) -> int:
    return (seed * 1_000_003 + step * 7_919 + 17) % (2**63)
