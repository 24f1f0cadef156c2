import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from segtune.errors import WeightsError
from segtune.train.checkpoints import load_checkpoint, read_state, save_checkpoint


class Run:
    """A tiny training run with everything a checkpoint has to bring back."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        self.generators = {
            "images": torch.Generator().manual_seed(1),
            "words": np.random.default_rng(2),
        }

    def train(self, num_steps: int) -> None:
        for _ in range(num_steps):
            x = torch.randn(3, 4, generator=self.generators["images"])
            x *= float(self.generators["words"].random())
            self.optimizer.zero_grad()
            self.model(x).square().sum().backward()
            self.optimizer.step()
            self.schedule.step()

    def save(self, path: Path, step: int) -> None:
        save_checkpoint(
            path, step=step, parts=self.parts, generators=self.generators, extra={"best": 0.5}
        )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    through = Run()
    through.train(7)

    first = Run()
    first.train(3)
    first.save(tmp_path / "run" / "checkpoint.pt", step=3)
    torch.rand(5)  # what happens in between does not matter

    second = Run()
    found = load_checkpoint(
        tmp_path / "run" / "checkpoint.pt", parts=second.parts, generators=second.generators
    )
    assert (found.step, found.extra) == (3, {"best": 0.5})
    second.train(4)
    for name, value in through.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
    assert through.schedule.get_last_lr() == second.schedule.get_last_lr()


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    run = Run()
    run.save(path, step=1)

    def full_disk(state: object, file: object) -> None:
        file.write(b"half of a file")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run.save(path, step=2)
    assert read_state(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    script = f"""
        import torch
        from segtune.train.checkpoints import save_checkpoint
        model = torch.nn.Linear(300, 300)
        step = 0
        while True:
            step += 1
            save_checkpoint({str(path)!r}, step=step, parts={{"model": model}})
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    model = torch.nn.Linear(300, 300)
    assert load_checkpoint(path, parts={"model": model}).step >= 1


def test_messages_name_the_way_out(tmp_path: Path) -> None:
    run = Run()
    with pytest.raises(FileNotFoundError, match="leave out --resume"):
        load_checkpoint(tmp_path / "none.pt", parts=run.parts)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="delete it"):
        load_checkpoint(broken, parts=run.parts)
    torch.save({"something": "else"}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="not a segtune checkpoint"):
        load_checkpoint(tmp_path / "other.pt", parts=run.parts)


def test_other_parts_or_generators_are_refused(tmp_path: Path) -> None:
    run = Run()
    run.save(tmp_path / "checkpoint.pt", step=1)
    with pytest.raises(WeightsError, match="holds the parts"):
        load_checkpoint(tmp_path / "checkpoint.pt", parts={"model": run.model})
    with pytest.raises(WeightsError, match="holds the generators"):
        load_checkpoint(tmp_path / "checkpoint.pt", parts=run.parts)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"format": 1, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError):
        read_state(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()
