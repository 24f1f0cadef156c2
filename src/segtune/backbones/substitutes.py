"""A module with other numbers in place of some of its own, while the module itself stays untouched.

`torch.func.functional_call` puts the numbers into the module for the time of the call, so another
thread that uses the same frozen model would see them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from segtune.errors import SegtuneError

Net = TypeVar("Net", bound=nn.Module)


def with_tensors(module: Net, tensors: Mapping[str, Tensor]) -> Net:
    """Returns a copy that shares everything with a module but some parameters.

    Args:
        module: stays as it is.
        tensors: parameter name, with dots, -> what stands in its place; gradients reach it.

    Example:
        >>> import torch
        >>> layer = nn.Sequential(nn.Linear(2, 1, bias=False))
        >>> twice = with_tensors(layer, {"0.weight": 2 * layer[0].weight})
        >>> row = torch.ones(1, 2)
        >>> bool(twice(row) == 2 * layer(row)), twice[0] is layer[0]
        (True, False)
    """
    if not tensors:
        return module
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    twin._modules = dict(module._modules)
    inside: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            inside.setdefault(first, {})[rest] = tensor
        elif first in twin._parameters:
            twin._parameters[first] = tensor  # type: ignore[assignment]  # no leaf of its own
        else:
            raise SegtuneError(f"{type(module).__name__} has no parameter {name}")
    for first, parts in inside.items():
        child = module.get_submodule(first)
        twin._modules[first] = with_tensors(child, parts)
    return twin
