"""Key tables: renaming checkpoints of other code bases, there and back, and loading them strictly.

A table is an ordered sequence of (pattern, replacement) pairs; every pair is tried on every key, in
order, as `re.sub` does. A replacement of None drops the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import matched, some

Rules = Sequence[tuple[str, str | None]]


def rename_keys(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    r"""Returns the tensors of `state` under the names that `rules` give them.

    Args:
        state: a state dict.
        rules: (regular expression, replacement), applied one after the other; None drops the key.

    Raises:
        WeightsError: two keys get the same name.

    Example:
        >>> rules = [(r"^norm(\d)", r"norms.\1"), ("^step$", None)]
        >>> rename_keys({"norm2.weight": 1, "step": 2}, rules)
        {'norms.2.weight': 1}
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, value in state.items():
        new = _renamed(key, compiled)
        if new is None:
            continue
        if new in renamed:
            raise WeightsError(f"{origin[new]!r} and {key!r} both stand for {new!r}; keep one")
        renamed[new], origin[new] = value, key
    return renamed


def _renamed(key: str, rules: Sequence[tuple[re.Pattern[str], str | None]]) -> str | None:
    for pattern, replacement in rules:
        if replacement is not None:
            key = pattern.sub(replacement, key)
        elif pattern.search(key):
            return None
    return key


_GROUP = re.compile(r"\(.*?\)")


def reversed_rules(rules: Rules) -> list[tuple[str, str]]:
    r"""Returns the table that leads back; dropped keys stay dropped.

    Patterns may hold `^`, `$`, escaped dots and plain groups such as `(\d+)`; every group must
    appear once in its replacement, in order.

    Example:
        >>> reversed_rules([(r"^norm(\d)\.", r"norms.\1.")])
        [('^norms\\.(\\d)\\.', 'norm\\1.')]
    """
    back = []
    for pattern, replacement in reversed(rules):
        if replacement is None:
            continue
        groups = _GROUP.findall(pattern)
        literals = _GROUP.split(pattern.removeprefix("^").removesuffix("$"))
        parts = re.split(r"\\\d", replacement)
        if re.findall(r"\\(\d)", replacement) != [str(i + 1) for i in range(len(groups))]:
            raise ValueError(f"{pattern!r} -> {replacement!r} cannot be reversed: groups differ")
        new = re.escape(parts[0]) + "".join(
            group + re.escape(part) for group, part in zip(groups, parts[1:], strict=True)
        )
        old = literals[0] + "".join(f"\\{i + 1}{text}" for i, text in enumerate(literals[1:]))
        start, end = "^" * pattern.startswith("^"), "$" * pattern.endswith("$")
        back.append((start + new + end, old.replace(r"\.", ".")))
    return back


def keys_under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names start with `prefix`, without it.

    Example:
        >>> keys_under({"backbone.norm": 1, "head": 2}, "backbone.")
        {'norm': 1}
    """
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Copies `state` into `module`, converting to the precision of the module.

    Args:
        module: receives the values in place.
        state: exactly the keys and shapes of `module.state_dict()`, or those under one prefix.
        name: what the error calls the checkpoint.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ.
    """
    own = module.state_dict()
    state = matched(state, own)
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(set(own) & set(state))
        if own[key].shape != state[key].shape
    ]
    problems = [
        f"{what} {some(keys)}"
        for what, keys in (("missing", missing), ("unexpected", extra), ("wrong shape", wrong))
        if keys
    ]
    if problems:
        raise WeightsError(
            f"{name} does not fit the {type(module).__name__} it is loaded into: "
            f"{'; '.join(problems)}"
        )
    module.load_state_dict(dict(state))


def shape_of(state: Mapping[str, Tensor], key: str, what: str) -> tuple[int, ...]:
    """Returns the shape of a tensor from which sizes are read.

    Args:
        what: the model or part that has it, for the message.

    Raises:
        WeightsError: there is no such tensor.
    """
    if key not in state:
        raise WeightsError(
            f"not a {what}: nothing stands for {key} among {len(state)} tensors; give a checkpoint "
            "with all of its weights"
        )
    return tuple(state[key].shape)


def count_of(state: Mapping[str, Tensor], pattern: str) -> int:
    r"""Returns how many values the first group of `pattern` takes at the start of names.

    Example:
        >>> count_of({"layers.0.a": 1, "layers.0.b": 2, "layers.1.a": 3}, r"layers\.(\d+)\.")
        2
    """
    compiled = re.compile(pattern)
    return len({found[1] for key in state if (found := compiled.match(key))})
