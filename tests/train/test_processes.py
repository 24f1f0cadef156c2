"""Several processes equal one with a larger batch; half precision; what is refused."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from segtune.errors import SegtuneError
from segtune.train.loop import train
from segtune.train.processes import SMALLEST_SCALE, Processes, make_accelerator
from tests.train.toy import PACE, Toy

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
    import math, sys
    sys.path[:0] = {paths}
    from pathlib import Path
    import torch
    from segtune.errors import SegtuneError
    from segtune.train.processes import Processes, make_accelerator
    from tests.train.toy import Toy

    accelerator = make_accelerator("fp32")
    processes, out = Processes(accelerator), Path(sys.argv[1])
    rank, count = accelerator.process_index, accelerator.num_processes

    class Shared(Toy):
        def __init__(self):
            super().__init__(noise=0.0, rows=12)
            self.rows = 12

        def batch_at(self, step):
            part = super().batch_at(step)[rank::count]
            return part

        def losses(self, batch):
            self.rows = len(batch)  # means over the part
            found = super().losses(batch)
            self.rows = 12
            if rank == 0:  # a parameter that only one process has a gradient for
                found["bias"] = count * 0.1 * self.extra.square().sum()
            return found

        def after_step(self, done):
            self._last = processes.mean(self._last)  # one all-reduce for what all remember
            super().after_step(done)

    def fresh():
        toy = Shared()
        toy.extra = torch.nn.Parameter(torch.ones(2))
        return toy

    fresh().run(out / "run", accelerator=accelerator, stop_after=3)
    toy = fresh()
    toy.run(out / "run", accelerator=accelerator, resume=True)
    torch.save(dict(toy.state_dict()), out / f"{{rank}}.pt")
    toy = fresh()
    toy.spoil = lambda step: math.nan if rank == 1 and step > 2 else 1.0
    if count > 1:
        try:
            toy.run(out / "nan", accelerator=accelerator)
        except SegtuneError as error:
            (out / f"{{rank}}.txt").write_text(str(error))
        torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_the_doubled_batch(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    paths = repr([str(ROOT / "src"), str(ROOT)])
    script.write_text(textwrap.dedent(SCRIPT).format(paths=paths))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for count in (1, 2):
        out = tmp_path / str(count)
        out.mkdir()
        for rank in range(count):
            world = {"WORLD_SIZE": count, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
            world |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
            many = {key: str(value) for key, value in world.items()} if count > 1 else {}
            environment = os.environ | many | {"OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(script), str(out)]
            running.append(subprocess.Popen(command, env=environment))
    try:
        assert [process.wait(120) for process in running] == [0, 0, 0]
    finally:
        for process in running:
            process.kill()
    one, first, second = (
        torch.load(tmp_path / name, weights_only=True) for name in ("1/0.pt", "2/0.pt", "2/1.pt")
    )
    for key, value in one.items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], value, atol=1e-6, rtol=1e-5)
    assert one["seen"] != 0
    logs = [
        [json.loads(line) for line in (tmp_path / name / "run/log.jsonl").read_text().splitlines()]
        for name in ("1", "2")
    ]
    assert [row["step"] for row in logs[1]] == list(range(1, 8))
    for row, other in zip(*logs, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], abs=3e-6)
    messages = {(tmp_path / f"2/{rank}.txt").read_text() for rank in (0, 1)}
    assert len(messages) == 1  # that of the process with the bad loss, and of the other
    assert "the loss became nan, its gradient nan in step 3" in messages.pop()


class Scaled:
    """An accelerator with the loss scaling of float16, on a processor."""

    is_main_process, num_processes = True, 1

    def __init__(self, scale: float) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def autocast(self):
        return nullcontext()

    def backward(self, loss):
        self.scaler.scale(loss).backward()

    def wait_for_everyone(self):
        pass


def test_scaled_gradients_are_cut_at_their_true_size() -> None:
    plain, scaled = Toy(), Toy()
    train(plain, plain.batch_at, PACE, seed=0, progress=False)
    train(scaled, scaled.batch_at, PACE, seed=0, progress=False, accelerator=Scaled(1024.0))  # type: ignore[arg-type]
    torch.testing.assert_close(scaled.line.weight, plain.line.weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scaled.line.bias, plain.line.bias, atol=1e-6, rtol=1e-5)


def test_steps_that_overflow_are_left_out_and_scaled_down() -> None:
    """1e38 times a loss near 1 has infinite gradients in float32."""
    toy, accelerator = Toy(), Scaled(1e38)
    before = toy.line.weight.clone()
    toy.spoil = lambda step: 100.0
    train(toy, toy.batch_at, PACE, seed=0, progress=False, stop_after=1, accelerator=accelerator)  # type: ignore[arg-type]
    assert torch.equal(toy.line.weight, before)
    assert accelerator.scaler.get_scale() == pytest.approx(0.5e38)
    train(toy, toy.batch_at, PACE, seed=0, progress=False, accelerator=accelerator)  # type: ignore[arg-type]
    assert not torch.equal(toy.line.weight, before)


def test_gradients_that_overflow_at_any_scale_end_the_run() -> None:
    toy = Toy()
    root = toy.losses
    toy.losses = lambda batch: {**root(batch), "root": (toy.line.weight * 0).sum().sqrt()}  # type: ignore
    with pytest.raises(SegtuneError, match="its gradient nan in step 1"):
        train(
            *(toy, toy.batch_at, PACE),
            seed=0,
            progress=False,
            accelerator=Scaled(SMALLEST_SCALE),  # type: ignore[arg-type]
        )


def test_the_scale_is_part_of_a_checkpoint() -> None:
    first, second = Processes(Scaled(8.0)), Processes(Scaled(4.0))  # type: ignore[arg-type]
    parameter = nn.Parameter(torch.ones(()))
    first.backward(parameter.square())
    second.load_state(first.state())
    assert second.state()["scaler"]["scale"] == 8.0
    assert Processes().state() == {}
    Processes().load_state(first.state())  # another precision starts with none


def test_precisions_that_are_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cpu:
        device = torch.device("cpu")

        def __init__(self, mixed_precision: str) -> None:
            if mixed_precision == "bf16":
                raise ValueError("it was started in another one\nand so on")

    monkeypatch.setattr("accelerate.Accelerator", Cpu)
    assert make_accelerator("fp32").device.type == "cpu"
    with pytest.raises(SegtuneError, match="precision=fp16 needs an accelerator"):
        make_accelerator("fp16")
    with pytest.raises(SegtuneError, match="bf16 is not possible here: it was started in another"):
        make_accelerator("bf16")
