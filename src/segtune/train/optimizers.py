"""Muon for matrices with AdamW for the rest: for models that are trained from scratch."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn


def muon_and_adamw(
    matrices: Sequence[nn.Parameter],
    others: Sequence[nn.Parameter],
    *,
    lr: float,
    muon_lr: float,
    weight_decay: float,
    eps: float = 1e-8,
) -> dict[str, torch.optim.Optimizer]:
    """Returns Muon for matrices and AdamW for everything else.

    Muon (Jordan et al., 2024) orthogonalises the update of a matrix, so that all its directions
    learn at the same pace.

    Args:
        lr, eps: of AdamW.
        muon_lr, weight_decay: of Muon; nothing else is decayed.
    """
    muon = torch.optim.Muon(
        matrices, lr=muon_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        others, lr=lr, betas=(0.9, 0.98), eps=eps, weight_decay=0.0, fused=True
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
