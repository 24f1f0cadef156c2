"""Recipes: one YAML file with what differs from a preset, read into a typed config.

    recipe.yaml ─► plain values ─ --set a.b=c ─ present names ─ preset ─► a typed dataclass

Every kind of training says once what its recipes look like, as a `RecipeKind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from segtune.errors import SegtuneError, unknown_name
from segtune.storage.files import atomic_write
from segtune.storage.typed import plain, typed
from segtune.storage.yaml_files import load_yaml
from segtune.train.names import renamed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)
else:
    R = TypeVar("R")


@dataclass(frozen=True)
class RecipeKind(Generic[R]):
    """How the recipes of one kind of training are read.

    Attributes:
        config: dataclass with every setting; its `__post_init__` checks ranges.
        system: that recipes name, where it is no field of `config`; None where it is.
        example: a recipe file for messages.
        presets: name -> settings that differ from the defaults of `config`.
        default: preset of recipes that name none.
        expand: turns plain values into those of `config`, for kinds with shorthands.
    """

    config: type[R]
    example: str
    system: str | None = None
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    default: str | None = None
    expand: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def read(self, path: Path | str, *, overrides: Mapping[str, Any] | None = None) -> R:
        """Returns the recipe in a YAML file with some settings replaced.

        Args:
            overrides: dotted names to values, such as {"seed": 1, "fit.loop.steps": 100}.

        Raises:
            FileNotFoundError, SegtuneError: no file, no recipe, or a setting that makes no sense.
        """
        values = read_yaml(path, example=self.example)
        return self.make(replaced(values, overrides or {}), source=str(path))

    def make(self, settings: Mapping[str, Any] | None = None, *, source: str = "recipe") -> R:
        """Returns the recipe of plain values: perhaps `preset`, and what differs from it.

        Args:
            source: where they are from, for messages.

        Raises:
            SegtuneError: a setting is unknown, of another type, or out of range.
        """
        values = dict(settings or {})
        if self.system is not None:
            values.pop("system", None)
        preset: Mapping[str, Any] = {}
        if self.presets:
            name = values.pop("preset", self.default)
            if not isinstance(name, str) or name not in self.presets:
                error = unknown_name(str(name), tuple(self.presets), what="preset")
                raise SegtuneError(f"{source}: {error}")
            preset = self.presets[name]
        values = self.expand({**preset, **renamed(self.config, values, source=source)})
        return typed(self.config, values, source=source)

    def values(self, recipe: R) -> dict[str, Any]:
        """Returns every setting as plain values, which `make` reads back."""
        named = {} if self.system is None else {"system": self.system}
        return {**named, **plain(recipe)}


def read_yaml(path: Path | str, *, example: str) -> dict[str, Any]:
    """Returns the mapping in a YAML file; empty where the file is.

    Args:
        example: a recipe for the message where `path` is none.

    Raises:
        FileNotFoundError, SegtuneError: no file, no YAML, or no mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no recipe at {path}; recipes are YAML files such as {example}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SegtuneError(f"{path} is not text; save it as UTF-8") from None
    values = load_yaml(text, where=str(path))
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SegtuneError(f"{path} is not a mapping of settings")
    return values


def replaced(
    values: Mapping[str, Any], overrides: Mapping[str, Any], *, place: str = ""
) -> dict[str, Any]:
    """Returns nested values with some at dotted names replaced.

    Args:
        place: dotted name of `values`, with a dot behind it; empty for the whole.

    Example:
        >>> replaced({"fit": {"batch": 4}}, {"fit.batch": 8, "seed": 1})
        {'fit': {'batch': 8}, 'seed': 1}
    """
    result = dict(values)
    for dotted, value in overrides.items():
        name, dot, rest = dotted.partition(".")
        if not dot:
            result.pop(name, None)  # to the end: the later one of two names of a knob counts
            result[name] = value
            continue
        inside = result.get(name) or {}
        if not isinstance(inside, Mapping):
            raise SegtuneError(
                f"{place}{dotted} cannot be set: {place}{name} is {inside!r} and holds no settings"
            )
        result[name] = replaced(inside, {rest: value}, place=f"{place}{name}.")
    return result


def write_recipe(path: Path, values: Mapping[str, Any]) -> None:
    """Writes resolved settings; versions go into a comment, so that the file stays a recipe."""
    versions = {name: version(name) for name in ("torch", "transformers", "numpy")}
    import yaml

    text = yaml.safe_dump(plain(values), sort_keys=False)
    with atomic_write(path) as temporary:
        temporary.write_text(f"# resolved; versions: {versions}\n{text}", encoding="utf-8")
