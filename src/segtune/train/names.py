"""One name per knob: what settings of earlier versions are called now.

Old names are accepted in recipes, on the command line and in checkpoints. A name is only replaced
where the new one is a field, so that an option of a system may be called anything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

log = logging.getLogger(__name__)

RENAMED: Mapping[str, str] = {
    "num_steps": "steps",
    "warmup_steps": "warmup",
    "num_warmup_steps": "warmup",
    "max_grad_norm": "clip_norm",
    "clip_grad": "clip_norm",
}
"""Old name of a setting -> its name."""

RESPELLED: Mapping[tuple[str, str], str] = {("precision", "no"): "fp32"}
"""(Name, old value) -> its value."""


def renamed(config: type, values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Returns settings under their present names, and says so once for each that had an old one.

    Args:
        config: the dataclass that they are for; dataclasses inside of it are gone through as well.
        values: plain values; of an old and a new name, the later one counts.
        source: where they are from, for the note.

    Example:
        >>> from segtune.train.config import LoopConfig
        >>> renamed(LoopConfig, {"num_steps": 9, "lr": 1.0}, source="old.yaml")
        {'steps': 9, 'lr': 1.0}
    """
    hints = get_type_hints(config)
    result: dict[str, Any] = {}
    for name, value in values.items():
        new = RENAMED.get(name, name)
        if name not in hints and new in hints:
            log.info("%s: `%s` is now called `%s`", source, name, new)
            name = new
        if name in hints and isinstance(value, str) and (name, value) in RESPELLED:
            log.info("%s: %s=%s is now written %s", source, name, value, RESPELLED[name, value])
            value = RESPELLED[name, value]
        result[name] = _renamed_inside(hints.get(name), value, source)
    return result


def _renamed_inside(hint: Any, value: Any, source: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return renamed(hint, value, source=source)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return [_renamed_inside(get_args(hint)[0], item, source) for item in value]
    return value


def current(values: Any) -> Any:
    """Returns the settings in a checkpoint, at any depth, under their present names."""
    if isinstance(values, Mapping):
        return {
            RENAMED.get(name, name): RESPELLED.get((name, value), value)
            if isinstance(value, str)
            else current(value)
            for name, value in values.items()
        }
    return [current(item) for item in values] if isinstance(values, list | tuple) else values
