"""What every state dict is checked for, whatever file it is from: finite numbers and plain keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from segtune.errors import WeightsError

WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.", "ema.")
"""Prefixes that data-parallel training, `torch.compile` and trainers put before all keys."""
KEYS_SHOWN = 5


def some(keys: Iterable[str]) -> str:
    """Returns a few keys for a message, and how many more there are.

    Example:
        >>> some(["a", "b"]), some("abcdefgh")
        ('a, b', 'a, b, c, d, e and 3 more')
    """
    listed = list(keys)
    more = len(listed) - KEYS_SHOWN
    return ", ".join(listed[:KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_finite(tensors: Mapping[str, Tensor], where: Path | str) -> None:
    """Raises where weights are NaN or infinite, as after a fit that diverged or a bad conversion.

    Masks of attention, which some files carry along, may be minus infinity.

    Args:
        tensors: of a checkpoint.
        where: names the file in the message.

    Raises:
        WeightsError: with the first keys.
    """
    bad = [key for key, tensor in tensors.items() if not _is_finite(key, tensor)]
    if bad:
        raise WeightsError(
            f"{where} has NaN or infinity in {len(bad)} of {len(tensors)} tensors: {some(bad)}; "
            "take an earlier checkpoint, or one in full precision"
        )


def without_wrapper(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors without a prefix that all of their keys share, such as "module.".

    Example:
        >>> without_wrapper({"module.model.a": 1, "module.model.b": 2})
        {'a': 1, 'b': 2}
    """
    bare = dict(tensors)
    while bare:
        prefix = next((p for p in WRAPPERS if all(key.startswith(p) for key in bare)), None)
        if prefix is None:
            break
        bare = {key.removeprefix(prefix): tensor for key, tensor in bare.items()}
    return bare


def matched(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> Mapping[str, Tensor]:
    """Returns the tensors under the wanted keys, where they only have one more prefix.

    Args:
        tensors: of a checkpoint.
        wanted: keys of the model.

    Returns:
        The tensors as they are, where no prefix makes them fit.
    """
    first = next(iter(wanted), None)
    if first is None or first in tensors:
        return tensors
    ends = [key for key in tensors if key.endswith(f".{first}")]
    for prefix in (key.removesuffix(first) for key in ends):
        if all(prefix + key in tensors for key in wanted):
            inside = (key for key in tensors if key.startswith(prefix))
            return {key.removeprefix(prefix): tensors[key] for key in inside}
    return tensors


def _is_finite(key: str, tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype.itemsize > 1 and bool(torch.isfinite(torch.sum(tensor, dtype=torch.float32))):
        return True  # a sum is fast, and finite only where all of them are
    values = tensor.float()
    if key.rpartition(".")[2].endswith("mask"):
        return not bool((values.isnan() | (values == torch.inf)).any())
    return bool(torch.isfinite(values).all())
