"""The loop of the bundled models: its files, its exact resume, and what it refuses."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state
from segtune.trainers.loop import Rates, make_optimizers, train

RATES = Rates(adamw=0.01, muon=0.02, weight_decay=0.1, warmup=2)
SETTINGS = {"seed": 0, "name": "toy", "widths": [4, 4], "save_every": 2}


class Toy:
    """A model of one matrix and one bias that learns random lines, with noise from torch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 4)
        self.optimizers = make_optimizers([self.model.weight], [self.model.bias], RATES)
        self.steps: list[int] = []

    def batch_at(self, step: int) -> Tensor:
        self.steps.append(step)
        return torch.randn(3, 4, generator=torch.Generator().manual_seed(step))

    def losses_of(self, batch: Tensor) -> Mapping[str, Tensor]:
        noise = 0.1 * torch.randn(3, 4)  # from the global generator
        error = self.model(batch) - batch - noise
        return {
            "square": error.square().mean(),
            "size": 0.1 * error.abs().mean(),
            "_seen": batch.mean(),
        }

    def train(self, out: Path, **options: Any) -> int:
        values: dict[str, Any] = {"settings": SETTINGS, "num_steps": 7, "save_every": 2}
        return train(
            out,
            model=self.model,
            optimizers=self.optimizers,
            rates=RATES,
            batch_at=self.batch_at,
            losses_of=self.losses_of,
            **(values | options),
        )


def log_of(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def same_weights(one: Toy, two: Toy) -> bool:
    pairs = zip(one.model.parameters(), two.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def through(tmp_path: Path) -> tuple[Toy, Path]:
    """An uninterrupted run and its folder."""
    toy, out = Toy(), tmp_path / "through"
    assert toy.train(out) == 7
    return toy, out


def test_a_run_leaves_recipe_log_and_checkpoint(through: tuple[Toy, Path]) -> None:
    toy, out = through
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "log.jsonl", "recipe.yaml"}
    text = (out / "recipe.yaml").read_text()
    assert yaml.safe_load(text) == SETTINGS
    assert f"'torch': '{torch.__version__}" in text.splitlines()[0]
    rows = log_of(out)
    assert [row["step"] for row in rows] == list(range(1, 8))
    assert toy.steps == list(range(7))
    state = read_state(out / "checkpoint.pt")
    assert state["step"] == 7
    assert set(state["parts"]) == {"model", "muon", "adamw"}


def test_the_logged_loss_is_the_sum_without_notes(through: tuple[Toy, Path]) -> None:
    for row in log_of(through[1]):
        assert row["loss"] == pytest.approx(row["square"] + row["size"], abs=2e-5)
        assert "_seen" in row


@pytest.mark.parametrize("stops", [(1,), (2,), (3, 4), (6,), (7,)])
def test_interrupted_and_resumed_equals_uninterrupted(
    through: tuple[Toy, Path], tmp_path: Path, stops: tuple[int, ...]
) -> None:
    out = tmp_path / "parts"
    for number, stop in enumerate(stops):
        assert Toy().train(out, stop_after=stop, resume=number > 0) == stop
        torch.rand(5)  # what happens in between does not matter
    last = Toy()
    assert last.train(out, resume=True) == 7
    assert last.steps == list(range(stops[-1], 7))
    assert same_weights(last, through[0])
    assert log_of(out) == log_of(through[1])


def test_steps_after_the_last_checkpoint_are_taken_again(
    through: tuple[Toy, Path], tmp_path: Path
) -> None:
    """A run that dies in step 5 has logged it, but goes on from step 4."""
    out, toy = tmp_path / "died", Toy()

    def die(batch: Tensor) -> Mapping[str, Tensor]:
        if len(log_of(out)) == 5:
            raise MemoryError
        return Toy.losses_of(toy, batch)

    toy.losses_of = die  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        toy.train(out)
    assert len(log_of(out)) == 5
    last = Toy()
    last.train(out, resume=True)
    assert same_weights(last, through[0])
    assert log_of(out) == log_of(through[1])


def test_resuming_without_a_checkpoint_starts_anew(
    through: tuple[Toy, Path], tmp_path: Path
) -> None:
    toy = Toy()
    toy.train(tmp_path / "new", resume=True)
    assert same_weights(toy, through[0])


def test_an_existing_run_is_not_overwritten(through: tuple[Toy, Path]) -> None:
    before = (through[1] / "checkpoint.pt").read_bytes()
    with pytest.raises(SegtuneError, match="--resume"):
        Toy().train(through[1])
    assert (through[1] / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"widths": [4, 8]}, {"more": True}])
def test_another_recipe_is_refused(through: tuple[Toy, Path], change: dict[str, Any]) -> None:
    with pytest.raises(SegtuneError, match=f"other settings for {next(iter(change))};"):
        Toy().train(through[1], settings=SETTINGS | change, resume=True)
    assert yaml.safe_load((through[1] / "recipe.yaml").read_text()) == SETTINGS


def test_how_often_to_save_may_change(through: tuple[Toy, Path]) -> None:
    assert Toy().train(through[1], settings=SETTINGS | {"save_every": 1}, resume=True) == 7


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, value: float) -> None:
    toy = Toy()
    plain = toy.losses_of

    def broken(batch: Tensor) -> Mapping[str, Tensor]:
        losses = plain(batch)
        return {k: v * value for k, v in losses.items()} if len(toy.steps) > 3 else losses

    toy.losses_of = broken  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="smaller lr"):
        toy.train(tmp_path)
    assert read_state(tmp_path / "checkpoint.pt")["step"] == 2


def test_a_batch_that_fails_stops_the_run(tmp_path: Path) -> None:
    """Batches are made in a thread; their errors must not get lost there."""

    def fail(step: int) -> Tensor:
        raise OSError("image 3 is gone")

    toy = Toy()
    toy.batch_at = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="image 3 is gone"):
        toy.train(tmp_path)


def test_gradients_are_cut(tmp_path: Path) -> None:
    toy = Toy()
    norms = []
    step: Callable[..., None] = toy.optimizers["adamw"].step

    def watch(*inputs: Any) -> None:
        gradients = [p.grad.flatten() for p in toy.model.parameters() if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        step(*inputs)

    toy.optimizers["adamw"].step = watch  # type: ignore[method-assign]
    toy.train(tmp_path, max_grad_norm=0.01)
    assert norms == pytest.approx([0.01] * 7, rel=1e-3)


@pytest.mark.parametrize(("step", "factor"), [(0, 0.5), (1, 1.0), (2, 1.0), (6, 0.505), (10, 0.01)])
def test_rates_rise_and_follow_a_cosine(step: int, factor: float) -> None:
    assert RATES.factor(step, 10) == pytest.approx(factor)


def test_a_run_shorter_than_its_warmup_only_rises() -> None:
    assert [Rates(1, 1, 0, warmup=4).factor(i, 2) for i in range(2)] == [0.25, 0.5]
    assert Rates(1, 1, 0, warmup=0).factor(0, 1) == 1


def test_both_optimisers_follow_the_rates(tmp_path: Path) -> None:
    toy = Toy()
    rates: list[float] = []
    plain = toy.losses_of

    def watch(batch: Tensor) -> Mapping[str, Tensor]:
        rates.extend(o.param_groups[0]["lr"] for o in toy.optimizers.values())
        return plain(batch)

    toy.losses_of = watch  # type: ignore[method-assign]
    toy.train(tmp_path)
    factors = [RATES.factor(i, 7) for i in range(7)]
    assert list(toy.optimizers) == ["muon", "adamw"]
    assert rates == pytest.approx([peak * f for f in factors for peak in (0.02, 0.01)])


def test_parts_of_a_batch_add_up(tmp_path: Path) -> None:
    """The sum over three rows, at once and row by row."""

    def losses_of(toy: Toy) -> Callable[[Tensor], Mapping[str, Tensor]]:
        return lambda rows: {"square": (toy.model(rows) - rows).square().sum()}

    whole, cut = Toy(), Toy()
    whole.losses_of, cut.losses_of = losses_of(whole), losses_of(cut)  # type: ignore[method-assign]
    whole.train(tmp_path / "whole", num_steps=3)
    cut.train(tmp_path / "cut", num_steps=3, parts_of=lambda batch: batch.split(1))
    for row, other in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"), strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    pairs = zip(whole.model.parameters(), cut.model.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_every_group_follows_the_rates_from_its_own_peak(tmp_path: Path) -> None:
    """Also in a resumed run, whose optimiser comes back with the rates of its last step."""
    groups: list[list[float]] = []
    for number, stop in enumerate((2, 5, 7)):
        toy = Toy()
        parameters = [
            {"params": [toy.model.weight], "lr": 0.1},
            {"params": [toy.model.bias], "lr": 0.001},
        ]
        toy.optimizers = {"adamw": torch.optim.AdamW(parameters, lr=9.0)}
        toy.train(tmp_path, stop_after=stop, resume=number > 0)
        groups.append([group["lr"] for group in toy.optimizers["adamw"].param_groups])
    for found, last in zip(groups, (1, 4, 6), strict=True):
        assert found == pytest.approx([peak * RATES.factor(last, 7) for peak in (0.1, 0.001)])
