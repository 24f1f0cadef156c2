"""A trainable of one matrix, one bias and a running mean that every step moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segtune.train.checkpoints import Stateful
from segtune.train.loop import Pace, train
from segtune.train.run_files import RunFiles
from segtune.train.schedules import cosine_with_warmup
from segtune.train.trainable import Trainable

SETTINGS = {"seed": 0, "name": "toy", "widths": [4, 4], "save_every": 2}


def rate(step: int, peak: float) -> float:
    return peak * cosine_with_warmup(step, base_lr=1.0, steps=7, warmup=2, min_lr=0.01)


PACE = Pace(7, rate, clip_norm=1.0, save_every=2)


class Toy(nn.Module, Trainable):
    """Learns random lines, with noise from torch's global generator.

    Attributes:
        steps: of the batches that were asked for, in order.
        seen: mean of all batches, a state that `after_step` moves.
    """

    seen: Tensor

    def __init__(self, *, noise: float = 0.1, pieces: int = 1, rows: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()))
        self.noise, self.pieces, self.rows = noise, pieces, rows
        self.steps: list[int] = []
        self.spoil: Callable[[int], float] = lambda step: 1.0
        self._last = torch.zeros(())

    def batch_at(self, step: int) -> Tensor:
        self.steps.append(step)
        return torch.randn(self.rows, 4, generator=torch.Generator().manual_seed(step))

    def losses(self, batch: Tensor) -> Mapping[str, Tensor]:
        noise = self.noise * torch.randn(len(batch), 4) if self.noise else 0.0
        error = self.line(batch) - batch - noise
        self._last = batch.mean().detach()
        share = len(batch) / self.rows
        spoilt = self.spoil(len(self.steps))
        return {
            "square": spoilt * share * error.square().mean(),
            "size": 0.1 * share * error.abs().mean(),
            "_seen": batch.mean(),
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "sgd": torch.optim.SGD([self.line.weight], lr=0.05, momentum=0.9),
            "adamw": torch.optim.AdamW([self.line.bias], lr=0.01),
        }

    def state(self) -> dict[str, Stateful]:
        return {"model": self}

    def parts(self, batch: Tensor) -> tuple[Tensor, ...]:
        return batch.split(len(batch) // self.pieces)

    def after_step(self, done: int) -> None:
        self.seen += (self._last - self.seen) / done

    def run(self, out: Path, **options: Any) -> int:
        """Trains in a folder; `resume`, `settings` and those of `Pace` may be given."""
        settings = options.pop("settings", SETTINGS)
        files = RunFiles.in_folder(out, settings, resume=options.pop("resume", False))
        names = [n for n in ("steps", "rate", "clip_norm", "save_every") if n in options]
        pace = replace(PACE, **{name: options.pop(name) for name in names})
        options.setdefault("ahead", False)
        return train(self, self.batch_at, pace, files=files, progress=False, **options)


def log_of(out: Path) -> list[dict[str, Any]]:
    """Returns the rows of a log without their time."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def same_state(one: nn.Module, two: nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
