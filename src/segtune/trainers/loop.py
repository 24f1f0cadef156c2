"""The loop of trainings that learn whole models: one folder per run, exact resume.

A batch is a pure function of the step, so a run goes on from its step number alone. Rates follow
any `Schedule`; Muon with AdamW and a cosine (`Rates`) is the recipe of the bundled models.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from segtune.errors import SegtuneError
from segtune.storage.files import atomic_write
from segtune.train.checkpoints import load_checkpoint, read_state, save_checkpoint

log = logging.getLogger(__name__)

CHECKPOINT, LOG, RECIPE = "checkpoint.pt", "log.jsonl", "recipe.yaml"
FREE = ("save_every", "device", "workers")  # settings that may change between parts of a run


class Schedule(Protocol):
    """How learning rates change over a run."""

    def factor(self, step: int, num_steps: int) -> float:
        """Returns the rate of a step over the peak rate of its parameter group."""
        ...


@dataclass(frozen=True)
class Rates:
    """Learning rates of a run.

    Attributes:
        adamw, muon: peak rates of the two optimisers.
        weight_decay: of Muon's matrices.
        warmup: steps of the linear rise; a cosine to 1 % follows.
    """

    adamw: float
    muon: float
    weight_decay: float
    warmup: int

    def factor(self, step: int, num_steps: int) -> float:
        """Returns the rate of a step over the peak rate."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(num_steps - self.warmup, 1)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizers(
    matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], rates: Rates
) -> dict[str, torch.optim.Optimizer]:
    """Returns Muon for matrices and AdamW for everything else.

    Muon (Jordan et al., 2024) orthogonalises the update of a matrix, so that all its directions
    learn at the same pace.
    """
    muon = torch.optim.Muon(
        matrices, lr=rates.muon, weight_decay=rates.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        others, lr=rates.adamw, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    return {"muon": muon, "adamw": adamw}


def split_parameters(
    model: nn.Module, tables: Collection[str]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Returns the weight matrices of linear layers, and all other trained parameters.

    Args:
        tables: last parts of the names of parameters that are matrices in shape only.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim == 2 and name.rpartition(".")[2] not in tables
            (matrices if is_matrix else others).append(parameter)
    return matrices, others


def train(
    out: Path,
    *,
    settings: Mapping[str, Any],
    model: nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    rates: Schedule,
    num_steps: int,
    batch_at: Callable[[int], Any],
    losses_of: Callable[[Any], Mapping[str, Tensor]],
    parts_of: Callable[[Any], Sequence[Any]] | None = None,
    save_every: int = 100,
    resume: bool = False,
    progress: bool = True,
    max_grad_norm: float = 1.0,
    stop_after: int | None = None,
) -> int:
    """Trains in place and returns the number of finished steps.

    Args:
        out: folder of the run; gets `recipe.yaml`, `log.jsonl` and `checkpoint.pt`.
        settings: plain values that define the run; a checkpoint of other settings is refused.
        optimizers: every parameter group starts at its peak rate.
        batch_at: the batch of a step; called one step ahead, in a thread.
        losses_of: named losses of a batch, already weighted; their sum is minimised. Names that
            start with "_" are logged only.
        parts_of: splits a batch into parts that go through the model one after the other; their
            losses must add up to those of the batch. None takes it whole.
        resume: go on from the checkpoint in `out`; start anew where there is none.
        stop_after: leave after this step with a checkpoint, as an interruption would.

    Raises:
        SegtuneError: `out` holds a run and `resume` is off, or a run of other settings.
        FloatingPointError: a loss is not finite.
    """
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise SegtuneError(f"{out} already holds a run; add --resume or choose another --out")
    parts: dict[str, Any] = {"model": model, **optimizers}
    peaks = {name: [g["lr"] for g in o.param_groups] for name, o in optimizers.items()}
    start = 0
    if checkpoint.exists():
        _check_same(read_state(checkpoint)["extra"]["recipe"], settings)
        start = load_checkpoint(checkpoint, parts=parts).step
    out.mkdir(parents=True, exist_ok=True)
    _write_recipe(settings, out / RECIPE)
    end = min(num_steps, stop_after or num_steps)
    bar = tqdm(
        _ahead(batch_at, start, end),
        "train",
        initial=start,
        total=end,
        disable=None if progress else True,
    )
    _drop_log_after(out / LOG, start)
    began, done = time.monotonic(), start
    with (out / LOG).open("a", encoding="utf-8", buffering=1) as log_file:
        for batch in bar:
            for name, optimizer in optimizers.items():
                for group, peak in zip(optimizer.param_groups, peaks[name], strict=True):
                    group["lr"] = peak * rates.factor(done, num_steps)
            parts_now = parts_of(batch) if parts_of else [batch]
            losses = (losses_of(part) for part in parts_now)
            values = _step(model, list(optimizers.values()), losses, max_grad_norm)
            bar.set_postfix(loss=f"{values['loss']:.3f}")
            done += 1
            seconds = round(time.monotonic() - began, 1)
            log_file.write(json.dumps({"step": done, "seconds": seconds, **values}) + "\n")
            if done % save_every == 0 or done == end:
                extra = {"recipe": dict(settings)}
                save_checkpoint(checkpoint, step=done, parts=parts, extra=extra)
    return done


def _step(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    losses_of_parts: Iterable[Mapping[str, Tensor]],
    max_grad_norm: float,
) -> dict[str, float]:
    model.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for losses in losses_of_parts:
        total = torch.stack([v for k, v in losses.items() if not k.startswith("_")]).sum()
        total.backward()
        for name, value in {"loss": total, **losses}.items():
            sums[name] = value.detach() + sums[name] if name in sums else value.detach()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    if not (sums["loss"].isfinite() and norm.isfinite()):
        raise FloatingPointError(
            f"loss {sums['loss'].item()}, gradient norm {norm.item()}; resume from the last "
            "checkpoint with a smaller lr"
        )
    for optimizer in optimizers:
        optimizer.step()
    return {name: round(value.item(), 5) for name, value in sums.items()}


def _ahead(batch_at: Callable[[int], Any], start: int, end: int) -> Iterator[Any]:
    """Yields the batches of the steps; the next one is made while the last one is learned from."""
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(batch_at, start) if start < end else None
        for step in range(start, end):
            assert waiting is not None
            batch = waiting.result()
            waiting = executor.submit(batch_at, step + 1) if step + 1 < end else None
            yield batch


def _write_recipe(settings: Mapping[str, Any], path: Path) -> None:
    """Writes the resolved settings; versions go into a comment so that it stays a recipe."""
    versions = {name: version(name) for name in ("torch", "transformers", "numpy")}
    text = yaml.safe_dump(dict(settings), sort_keys=False)
    with atomic_write(path) as temporary:
        temporary.write_text(f"# resolved; versions: {versions}\n{text}", encoding="utf-8")


def _check_same(stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if changed := [k for k in given if k not in FREE and stored.get(k) != given[k]]:
        raise SegtuneError(
            f"the checkpoint was written with other settings for {', '.join(changed)}; "
            "resume with the recipe.yaml beside it or choose another --out"
        )


def _drop_log_after(path: Path, step: int) -> None:
    """Removes the lines of steps that an interrupted run took after its last checkpoint."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()[:step]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
