"""Settings of the two-stage systems: OVSeg, SimBaseline, ZegFormer, and the pair as it comes.

One dataclass describes all of them; they differ in how a region is shown to CLIP, in how the two
opinions about it are fused, and in what is learned. [P] marks the OVSeg paper, [C] its released
code, [S] SimBaseline's code, [Z] ZegFormer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from segtune.backbones.two_stage.spec import Recipe
from segtune.errors import SegtuneError
from segtune.systems.options import checked

if TYPE_CHECKING:
    from segtune.backbones.two_stage.model import TwoStage


@dataclass(frozen=True)
class OVSegConfig:
    """Every choice of a two-stage system; the defaults are OVSeg's with Swin-B and ViT-L/14."""

    # Regions (segtune.ops.regions).
    regions: Recipe = "ovseg"  # how a mask becomes an input of CLIP
    style: Literal["", "crop", "mask", "cropmask"] = ""  # "" is that of `regions`
    blank_patches: Literal["prompts", "kept"] = "prompts"  # kept: without mask prompts
    threshold: float = 0.4  # strict; 0.4 Swin-B, 0.5 R-101c, 0.35 the demo [C]

    # Scores (segtune.ops.fusion).
    fusion: Recipe = "ovseg"  # how the two opinions become one
    weight: float = 0.7  # of CLIP; 0.7 for, 0.6 else [P], PAS-20 0.45 [C]
    scores: Literal["both", "proposals", "clip"] = "both"  # whose opinion counts
    masks: Literal["all", "best"] = "all"  # best: of each class, thresholded; the demo [C]
    seen: Literal["ignored", "vocabulary"] = "ignored"  # classes tagged "seen" are weighted apart
    gamma: float = 0.0  # taken off the maps of seen classes at the original size [Z]
    clip_templates: str = ""  # sentences for regions; "" takes those for the queries

    # What is learned.
    learns: Literal["mask_prompts", "words", "nothing"] = "mask_prompts"  # what a fit changes
    prompt_depth: int = 3  # layers whose blank patches are learned; 1, 3, 6 and 12 in [P]
    prefix_tokens: int = 16  # learned words before the class name [S]
    suffix_tokens: int = 0  # and after it
    words_for: Literal["both", "regions"] = "both"  # whose text rows have learned words

    # Cost. Exact:
    regions_at_once: int = 128  # regions in memory together
    # Approximate, off by default:
    min_objectness: float = 0.0  # masks less sure than this are dropped
    min_score_mass: float = 0.0  # masks that could add less than this share of an image, too
    duplicate_iou: float = 1.0  # masks that overlap more share one pass; 1: only equal ones

    def __post_init__(self) -> None:
        shares = ("threshold", "weight", "min_objectness", "min_score_mass", "duplicate_iou")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise SegtuneError(f"{name}={getattr(self, name)}; expected 0 to 1")
        if self.prompt_depth < 1 or self.regions_at_once < 1:
            raise SegtuneError(
                f"prompt_depth={self.prompt_depth}, regions_at_once={self.regions_at_once}; both "
                "must be at least 1"
            )
        if min(self.prefix_tokens, self.suffix_tokens) < 0:
            raise SegtuneError("prefix_tokens and suffix_tokens cannot be negative")
        if self.learns == "words" and not self.prefix_tokens + self.suffix_tokens:
            raise SegtuneError(
                "nothing to learn with prefix_tokens=0 and suffix_tokens=0; SimBaseline uses 16, 0"
            )


OVSEG = OVSegConfig()
APPROXIMATE = ("min_objectness", "min_score_mass", "duplicate_iou")
"""Fields whose values other than those of `OVSEG` change labels."""
SIMBASELINE = OVSegConfig(
    regions="simbaseline",
    threshold=0.5,
    fusion="simbaseline",
    weight=0.8,  # COCO-Stuff; 0.7 VOC; cross-dataset see the docs [S]
    seen="vocabulary",
    learns="words",
    # The paper then trains the proposals on the learned words [S]; a fit leaves them frozen, and
    # queries lose classes whose words changed. Files whose words were learned for both say so.
    words_for="regions",
)
ZEGFORMER = OVSegConfig(
    regions="zegformer",
    threshold=0.5,
    fusion="zegformer",
    weight=2 / 3,
    seen="vocabulary",
    gamma=0.1,  # COCO and VOC; 0 for ADE-847 [Z]
    clip_templates="zegformer_clip_branch_32",
    learns="nothing",
)
PRESETS: Mapping[str, OVSegConfig] = {
    "ovseg": OVSEG,
    "simbaseline": SIMBASELINE,
    "zegformer": ZEGFORMER,
}


def configure(system: str, options: Mapping[str, Any] | None = None) -> OVSegConfig:
    """Returns the preset of a system with options changed.

    Args:
        system: a key of `PRESETS`, or "two-stage", which learns nothing.
        options: field names to values.

    Raises:
        SegtuneError: an option is unknown, of another type or out of range.
    """
    preset = PRESETS.get(system, replace(OVSEG, learns="nothing"))
    return replace(preset, **checked(OVSegConfig, system, options))


def options_of_model(system: str, backbone: TwoStage) -> dict[str, Any]:
    """Returns the options with which the weights of a pair were published.

    Systems of another recipe than that of the weights keep their presets; "two-stage" takes the
    recipe of the weights as it is, without what is learned.
    """
    if system == "two-stage":
        recipe = asdict(PRESETS[backbone.recipe]) | {"learns": "nothing"}
        return {**recipe, **backbone.settings}
    return dict(backbone.settings) if system == backbone.recipe else {}
