"""The mean over processes, in one process and in two."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from segtune.ops.processes import mean_over_processes


def test_one_process_counts_for_itself():
    assert mean_over_processes(7) == 7
    assert mean_over_processes(0) == 1
    count = torch.tensor(3)
    found = mean_over_processes(count)
    assert found.dtype == torch.float32
    assert count == 3
    kept = torch.tensor(5.0)
    mean_over_processes(kept).add_(1)
    assert kept == 5


def _meet(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    found = [mean_over_processes(count) for count in ((3, 0), (8, 0))[rank]]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_share_their_mean(tmp_path):
    mp.start_processes(_meet, (str(tmp_path),), nprocs=2, start_method="fork")
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == [torch.tensor(5.5), torch.tensor(1.0)]
