"""Settings of the prompted SAM, SAM 2 and SAM 3: those of SSPrompt, without what has no meaning.

CoOp and LOCN are left out on SAM 3: they learn inside of the text encoder, through which its words
go only once, before training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from segtune.errors import SegtuneError
from segtune.systems.options import checked
from segtune.systems.ssprompt.config import PRESETS, SSPromptConfig

Config = TypeVar("Config", bound=SSPromptConfig)


@dataclass(frozen=True)
class SamPromptConfig(SSPromptConfig):
    """Every choice of a prompted SAM; `point_grid` is the side of the grid of default clicks.

    With `task="semantic"` masks without names are learned from label maps, one region per class;
    with the other tasks from annotated objects.
    """

    class_tokens: int = 4  # prompt tokens per class of the fit, ours

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed: dict[str, Sequence[Any]] = {
            "semantic": ("default", "embeddings"),
            "spatial_target": ("content",),
            "renormalize_text": (False,),
            "learn_background": (False,),
            "retain": ("shared",),
            "deep_supervision": (False,),
            "pull": (0.0,),
        }
        _refuse_others(self, "SAM", allowed)
        if not 1 <= self.class_tokens <= self.point_grid**2:
            raise SegtuneError(
                f"class_tokens={self.class_tokens}; expected 1 to {self.point_grid**2}, the "
                "number of clicks of the default grid"
            )
        names_only = self.semantic == "embeddings" and self.spatial == "default"
        if names_only and self.task != "semantic":
            raise SegtuneError(
                f"class tokens alone give one map per class and learn no task={self.task}; use "
                "ssprompt, or task=semantic"
            )


@dataclass(frozen=True)
class Sam3PromptConfig(SSPromptConfig):
    """Every choice of a prompted SAM 3; `spatial_target="position"` means the reference points.

    With `task="semantic"` it answers with class scores per pixel, with the others with masks.
    """

    pixel_scores: Literal["max", "sum"] = "max"  # of a class, over the queries [R]
    kept_masks: int = 100  # per image, best first, for tasks other than semantic

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed: dict[str, Sequence[Any]] = {
            "spatial": ("default", "embeddings"),
            "semantic": ("default", "embeddings"),
            "renormalize_text": (False,),
            "learn_background": (False,),
            "deep_supervision": (False,),
            "pull": (0.0,),
            "semantic_loss": ("nll",),
        }
        _refuse_others(self, "SAM 3", allowed)
        if self.kept_masks < 1:
            raise SegtuneError(f"kept_masks={self.kept_masks}; expected at least 1")


def configure(kind: type[Config], system: str, options: Mapping[str, Any] | None = None) -> Config:
    """Returns the preset of a system, as the config of a kind of model, with options changed.

    Raises:
        SegtuneError: an option is unknown, has no meaning here, or is of another type.
    """
    preset = PRESETS.get(system, PRESETS["seem"])  # "sam" and "sam3" learn nothing either
    values = {field.name: getattr(preset, field.name) for field in fields(preset)}
    return kind(**values | checked(kind, system, options))


def configure_sam(system: str, options: Mapping[str, Any] | None = None) -> SamPromptConfig:
    """Returns the config of a system on a SAM or SAM 2; see `configure`."""
    return configure(SamPromptConfig, system, options)


def configure_sam3(system: str, options: Mapping[str, Any] | None = None) -> Sam3PromptConfig:
    """Returns the config of a system on a SAM 3; see `configure`."""
    return configure(Sam3PromptConfig, system, options)


def _refuse_others(
    config: SSPromptConfig, model: str, allowed: Mapping[str, Sequence[Any]]
) -> None:
    """Raises where a field has a value that is not among the allowed ones."""
    for name, values in allowed.items():
        if (value := getattr(config, name)) not in values:
            raise SegtuneError(
                f"{name}={value} has no meaning on {model}; use {name}="
                f"{' or '.join(map(str, values))}"
            )
