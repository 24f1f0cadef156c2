import torch
from torch import nn

from segtune.train.optimizers import muon_and_adamw, split_parameters


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 4)
        self.table = nn.Parameter(torch.zeros(5, 3))
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def test_tables_and_vectors_are_no_matrices() -> None:
    model = Small()
    matrices, others = split_parameters(model, ("table",))
    assert [id(p) for p in matrices] == [id(model.line.weight)]
    assert {id(p) for p in others} == {id(model.line.bias), id(model.table)}


def test_each_takes_its_own_rate_and_only_muon_decays() -> None:
    matrices, others = split_parameters(Small(), ("table",))
    made = muon_and_adamw(matrices, others, lr=0.1, muon_lr=0.2, weight_decay=0.3, eps=1e-6)
    muon, adamw = (made[name].param_groups[0] for name in ("muon", "adamw"))
    assert list(made) == ["muon", "adamw"]
    assert (muon["lr"], muon["weight_decay"]) == (0.2, 0.3)
    assert (adamw["lr"], adamw["weight_decay"], adamw["eps"]) == (0.1, 0.0, 1e-6)
    assert adamw["betas"] == (0.9, 0.98)
