"""Options of the toy systems."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from segtune.systems.options import checked


@dataclass(frozen=True)
class ToyConfig:
    """Options.

    Attributes:
        classes: that get a shift.
        scale: of the comparison with words.
    """

    classes: tuple[str, ...] = ()
    scale: float = 10.0


def configure(system: str, options: Mapping[str, Any] | None = None) -> ToyConfig:
    return replace(ToyConfig(), **checked(ToyConfig, system, options))
