"""Recipes of the bundled models: a frozen dataclass of settings, presets, and YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from segtune.errors import SegtuneError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)


def from_preset(
    default: R, presets: Mapping[str, Mapping[str, Any]], preset: str, settings: Mapping[str, Any]
) -> R:
    """Returns a recipe with the settings of a preset, then with some replaced; lists are tuples.

    Raises:
        SegtuneError: there is no such preset, or no such setting.
    """
    if preset not in presets:
        raise SegtuneError(f"there is no preset {preset!r}; expected one of {sorted(presets)}")
    values = {**presets[preset], **settings}
    if unknown := sorted(set(values) - {field.name for field in fields(default)}):
        kind = type(default)
        raise SegtuneError(f"unknown settings {unknown}; see {kind.__module__}.{kind.__name__}")
    return replace(
        default, **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    )


def read_settings(path: Path | str, *, example: str) -> tuple[str, dict[str, Any]]:
    """Returns the preset that a YAML file names, "cpu" where it names none, and its settings.

    A `system` key, by which `segtune train` finds the trainer, is allowed and ignored.

    Args:
        example: a recipe for the message where `path` is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}; try {example}")
    values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not isinstance(values, dict):
        raise SegtuneError(f"{path} is not a mapping of settings")
    values.pop("system", None)
    return values.pop("preset", "cpu"), values
