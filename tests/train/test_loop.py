"""The training loop on a toy: exact resume, accumulation, the guard, the order of things."""

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state
from segtune.train.loop import train
from tests.train.toy import PACE, SETTINGS, Toy, log_of, rate, same_state


@pytest.fixture
def through(tmp_path: Path) -> tuple[Toy, Path]:
    """An uninterrupted run and its folder."""
    toy, out = Toy(), tmp_path / "through"
    assert toy.run(out) == 7
    return toy, out


def test_a_run_leaves_recipe_log_and_checkpoint(through: tuple[Toy, Path]) -> None:
    toy, out = through
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "log.jsonl", "recipe.yaml"}
    rows = log_of(out)
    assert [row["step"] for row in rows] == list(range(1, 8))
    assert toy.steps == list(range(7))
    state = read_state(out / "checkpoint.pt")
    assert state["step"] == 7
    assert set(state["parts"]) == {"model", "sgd", "adamw"}
    assert state["extra"]["identity"] == SETTINGS


def test_the_logged_loss_is_the_sum_without_notes(through: tuple[Toy, Path]) -> None:
    for number, row in enumerate(log_of(through[1])):
        assert list(row) == ["step", "lr", "loss", "square", "size", "_seen"]
        assert row["loss"] == pytest.approx(row["square"] + row["size"], abs=3e-6)
        assert row["lr"] == pytest.approx(rate(number, 0.05))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("stops", [(1,), (2,), (3, 4), (6,), (7,)])
def test_interrupted_and_resumed_equals_uninterrupted(
    through: tuple[Toy, Path], tmp_path: Path, stops: tuple[int, ...], ahead: bool
) -> None:
    """Weights, the moments of both optimisers, what `after_step` keeps, and the log."""
    out = tmp_path / "parts"
    for number, stop in enumerate(stops):
        assert Toy().run(out, stop_after=stop, resume=number > 0, ahead=ahead) == stop
        torch.rand(5)  # what happens in between does not matter
    last = Toy()
    assert last.run(out, resume=True, ahead=ahead) == 7
    assert last.steps == list(range(stops[-1], 7))
    assert same_state(last, through[0])
    assert last.seen != 0
    assert log_of(out) == log_of(through[1])
    one, two = (read_state(folder / "checkpoint.pt") for folder in (out, through[1]))
    for name in ("sgd", "adamw"):
        a, b = (state["parts"][name]["state"][0] for state in (one, two))
        assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)


def test_steps_after_the_last_checkpoint_are_taken_again(
    through: tuple[Toy, Path], tmp_path: Path
) -> None:
    """A run that dies in step 6 has logged five, but goes on from step 4."""
    out, toy = tmp_path / "died", Toy()

    def die(done: int) -> None:
        if done == 5:
            raise MemoryError

    with pytest.raises(MemoryError):
        toy.run(out, on_step=die)
    assert len(log_of(out)) == 5
    last = Toy()
    last.run(out, resume=True)
    assert same_state(last, through[0])
    assert log_of(out) == log_of(through[1])


def test_resuming_without_a_checkpoint_starts_anew(
    through: tuple[Toy, Path], tmp_path: Path
) -> None:
    toy = Toy()
    toy.run(tmp_path / "new", resume=True)
    assert same_state(toy, through[0])


def test_a_seed_makes_runs_equal_and_leaves_the_callers_generator_alone() -> None:
    def learned(seed: int, before: int) -> Toy:
        toy = Toy()
        torch.manual_seed(before)
        expected = torch.get_rng_state()
        train(toy, toy.batch_at, PACE, seed=seed, ahead=False, progress=False)
        assert torch.equal(torch.get_rng_state(), expected)
        return toy

    first = learned(3, before=1)
    assert same_state(first, learned(3, before=2))
    assert not same_state(first, learned(4, before=1))


def test_with_a_seed_a_resumed_run_needs_no_generator(tmp_path: Path) -> None:
    whole = Toy()
    whole.run(tmp_path / "whole", seed=1)
    Toy().run(tmp_path / "parts", seed=1, stop_after=3)
    last = Toy()
    torch.manual_seed(99)
    last.run(tmp_path / "parts", seed=1, resume=True)
    assert same_state(last, whole)


# -- the guard ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(tmp_path: Path, value: float) -> None:
    whole = Toy()
    whole.run(tmp_path / "whole", stop_after=3)
    toy = Toy()
    toy.spoil = lambda step: value if step > 3 else 1.0
    with pytest.raises(SegtuneError, match=r"the loss became (nan|inf), .* in step 4; lower") as e:
        toy.run(tmp_path / "out")
    assert "\n" not in str(e.value)
    assert same_state(toy, whole)
    assert read_state(tmp_path / "out" / "checkpoint.pt")["step"] == 2
    assert [row["step"] for row in log_of(tmp_path / "out")] == [1, 2, 3, 4]
    assert log_of(tmp_path / "out")[-1].keys() == {"step", "diverged"}


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_changes_nothing(
    tmp_path: Path, clip_norm: float | None
) -> None:
    """The loss may be finite where its gradient is not, such as that of a square root at 0."""
    toy = Toy()
    plain = toy.losses

    def broken(batch: Tensor) -> Mapping[str, Tensor]:
        root = (toy.line.weight * 0).sum().sqrt()
        return {**plain(batch), "root": root if len(toy.steps) > 2 else root.detach()}

    toy.losses = broken  # type: ignore[method-assign]
    before: list[dict[str, Tensor]] = []

    def keep(done: int) -> None:
        before.append({k: v.clone() for k, v in toy.state_dict().items()})

    with pytest.raises(SegtuneError, match="its gradient nan in step 3"):
        toy.run(tmp_path, clip_norm=clip_norm, on_step=keep)
    assert all(torch.equal(value, toy.state_dict()[key]) for key, value in before[-1].items())


def test_after_divergence_the_same_command_with_another_rate_starts_again(tmp_path: Path) -> None:
    toy = Toy()
    toy.spoil = lambda step: math.nan if step > 3 else 1.0
    with pytest.raises(SegtuneError, match="start again"):
        toy.run(tmp_path)
    slower = SETTINGS | {"lr": 0.1}
    again = Toy()
    assert again.run(tmp_path, settings=slower) == 7
    assert again.steps == list(range(7))
    assert [row["step"] for row in log_of(tmp_path)] == list(range(1, 8))
    assert read_state(tmp_path / "checkpoint.pt")["extra"]["identity"] == slower
    with pytest.raises(SegtuneError, match="already holds a run"):
        Toy().run(tmp_path, settings=slower)


# -- accumulation, gradients, rates -------------------------------------------------------------


@pytest.mark.parametrize("pieces", [2, 6])
def test_parts_of_a_batch_add_up(tmp_path: Path, pieces: int) -> None:
    whole, cut = Toy(noise=0.0), Toy(noise=0.0, pieces=pieces)
    whole.run(tmp_path / "whole")
    cut.run(tmp_path / "cut")
    for row, other in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"), strict=True):
        for name in ("loss", "square", "size"):
            assert other[name] == pytest.approx(row[name], rel=1e-5, abs=2e-6)
    torch.testing.assert_close(cut.line.weight, whole.line.weight, atol=1e-6, rtol=1e-5)


def norms_of(out: Path, **options: Any) -> list[float]:
    """Returns the norms of the gradients that the optimisers see."""
    toy, norms = Toy(), []
    made = toy.optimizers()
    step = made["sgd"].step

    def watch(*inputs: Any) -> None:
        gradients = [p.grad.flatten() for p in toy.parameters() if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        step(*inputs)

    made["sgd"].step = watch  # type: ignore[method-assign]
    toy.optimizers = lambda: made  # type: ignore[method-assign]
    toy.run(out, **options)
    return norms


def test_gradients_are_cut(tmp_path: Path) -> None:
    assert norms_of(tmp_path / "cut", clip_norm=0.01) == pytest.approx([0.01] * 7, rel=1e-3)
    assert min(norms_of(tmp_path / "plain", clip_norm=None)) > 0.1


def test_every_group_follows_the_rates_from_its_own_peak(tmp_path: Path) -> None:
    """Also in a resumed run, whose optimisers come back with the rates of their last step."""
    for number, (stop, last) in enumerate(((2, 1), (5, 4), (7, 6))):
        toy = Toy()
        groups = [
            {"params": [toy.line.weight], "lr": 0.1},
            {"params": [toy.line.bias], "lr": 0.001},
        ]
        made = {"adamw": torch.optim.AdamW(groups, lr=9.0)}
        toy.optimizers = lambda made=made: made  # type: ignore[method-assign,misc]
        toy.run(tmp_path, stop_after=stop, resume=number > 0)
        found = [group["lr"] for group in made["adamw"].param_groups]
        assert found == pytest.approx([rate(last, peak) for peak in (0.1, 0.001)])


# -- batches and callbacks ----------------------------------------------------------------------


def test_batches_are_made_one_step_ahead_and_in_order(tmp_path: Path) -> None:
    toy, known = Toy(), []
    plain = toy.batch_at

    def batch_at(step: int) -> Tensor:
        assert threading.current_thread() is not threading.main_thread()
        return plain(step)

    toy.batch_at = batch_at  # type: ignore[method-assign]
    toy.run(tmp_path, ahead=True, on_step=lambda done: known.append((done, len(toy.steps))))
    assert toy.steps == list(range(7))
    assert all(done <= made <= done + 1 for done, made in known)


def test_a_batch_that_fails_stops_the_run(tmp_path: Path) -> None:
    """Batches are made in a thread; their errors must not get lost there."""

    def fail(step: int) -> Tensor:
        raise OSError("image 3 is gone")

    toy = Toy()
    toy.batch_at = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="image 3 is gone"):
        toy.run(tmp_path, ahead=True)


def test_after_step_comes_before_the_checkpoint_and_on_step_behind_it(tmp_path: Path) -> None:
    toy = Toy()
    stored = []

    def look(done: int) -> None:
        if (tmp_path / "checkpoint.pt").exists():
            state = read_state(tmp_path / "checkpoint.pt")
            stored.append((done, state["step"], state["parts"]["model"]["seen"].item()))

    seen = []
    after = toy.after_step
    toy.after_step = lambda done: (after(done), seen.append(toy.seen.item()))  # type: ignore
    toy.run(tmp_path, on_step=look)
    saved = {2: 2, 3: 2, 4: 4, 5: 4, 6: 6, 7: 7}
    assert stored == [(done, at, seen[at - 1]) for done, at in saved.items()]


def test_processes_that_know_nothing_of_each_other_do_not_share_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SegtuneError, match="without `accelerate launch`"):
        Toy().run(tmp_path)


def test_nothing_is_written_without_files() -> None:
    toy = Toy()
    assert train(toy, toy.batch_at, PACE, progress=False, stop_after=2) == 2


def test_the_loop_knows_no_system() -> None:
    folder = Path(train.__code__.co_filename).parent
    rooms = ("systems", "fewshot", "trainers", "predict", "backbones", "data", "eval", "vocabulary")
    for file in folder.glob("*.py"):
        text = file.read_text()
        assert not [room for room in rooms if f"from segtune.{room}" in text], file


def test_a_step_whose_callback_was_cut_off_is_told_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def killed(done: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Toy().run(tmp_path, save_every=1, on_step=killed)
    Toy().run(tmp_path, save_every=1, resume=True, on_step=seen.append)
    assert seen == [1, 2, 2, 3, 4, 5, 6, 7]
