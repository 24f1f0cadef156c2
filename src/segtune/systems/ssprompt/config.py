"""Settings of the prompted SEEM: SSPrompt, its parts, and the baselines it is compared with.

"Learning to Prompt Segment Anything Models", Huang et al., arXiv 2401.04651. One dataclass
describes all of them, because they differ in two choices only: where the query embeddings come
from, and where the class embeddings come from. [P] marks the paper, [R] our reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from segtune.errors import SegtuneError
from segtune.systems.options import checked

Spatial = Literal["default", "embeddings", "points"]
Semantic = Literal["default", "embeddings", "context", "names"]
Fusion = Literal["convex", "additive", "average", "replace"]
EmbedInit = Literal["copy", "noise", "normal", "zeros"]


@dataclass(frozen=True)
class SSPromptConfig:
    """Every choice of a prompted SEEM; the defaults are the paper's SSPrompt, gaps filled by [R].

    `copy` with a convex fusion starts at the zero-shot model exactly. The weights then have no
    gradient in the very first step, because default and learned embeddings are still equal.
    """

    # Where queries and class embeddings come from.
    spatial: Spatial = "embeddings"  # what is learned of the queries; points: VSPL
    semantic: Semantic = "embeddings"  # and of the classes; context: CoOp, names: LOCN
    classes: tuple[str, ...] = ()  # names of the fit, in the order of the learned rows

    # Fusion of default and learned embeddings, equations 4 and 6.
    fusion: Fusion = "convex"  # w z + (1 - w) e; or w z + e, (z + e) / 2, e [R]
    weight_shape: Literal["scalar", "channel", "global"] = "scalar"  # w: [P] one per prompt
    weight_param: Literal["raw", "clamp01", "sigmoid"] = "raw"  # from learned number to weight
    weight_init: float = 0.5  # at first; the paper's baseline without weights is the average
    embed_init: EmbedInit = "copy"  # learned embeddings start at the default ones, or elsewhere
    renormalize_text: bool = False  # class embeddings get unit length after the fusion
    spatial_target: Literal["content", "position", "both"] = "content"  # which part of a query
    learn_background: bool = False  # an embedding for "none of the words" as well

    # CoOp and LOCN.
    context_tokens: int = 16  # learned words before every name
    context_init: str = ""  # words, such as "a photo of a"; empty draws N(0, 0.02)
    context_per_class: bool = False  # other words for each class
    name_templates: tuple[str, ...] = ("a photo of a {}.",)  # sentences around learned names

    # VSPL.
    point_grid: int = 10  # points per side
    point_copies: int = 3  # queries that every point asks, as in SEEM v1

    # Words outside of the fit.
    retain: Literal["shared", "exact"] = "shared"  # [P] one group of queries; exact: own queries

    # Learning.
    task: Literal["semantic", "instance", "panoptic"] = "semantic"  # what the masks are of
    semantic_loss: Literal["nll", "score", "logsumexp"] = "nll"  # on pixels [R], unsaid in [P]
    class_balance: float = 0.0  # [R] 0: mean over pixels; 1: mean over classes
    pull: float = 0.0  # ours: half of it times the squared way of all class embeddings is a loss
    dice: bool = False  # dice loss of masks; [P] names cross-entropy and binary cross-entropy only
    deep_supervision: bool = False  # the loss is the mean over all layers of the decoder
    spatial_lr_factor: float = 3.0  # of queries, whose gradients are smaller; 1 for objects
    semantic_lr_factor: float = 1.0  # of class embeddings
    context_lr_factor: float = 1.0  # of word vectors

    def __post_init__(self) -> None:
        if self.point_grid < 1 or self.context_tokens < 1:
            raise SegtuneError(
                f"point_grid={self.point_grid}, context_tokens={self.context_tokens}: both must "
                "be at least 1"
            )
        if not 0 <= self.class_balance <= 1:
            raise SegtuneError(f"class_balance={self.class_balance}; expected 0 to 1")
        if not 0 <= self.pull < float("inf"):
            raise SegtuneError(f"pull={self.pull}; expected 0 or more")
        if self.pull and self.semantic == "default":
            raise SegtuneError(
                f"pull={self.pull} has nothing to pull with semantic=default; use a system that "
                "learns class embeddings, such as ssprompt or semprompt"
            )
        if self.spatial == "points" and self.retain == "exact":
            raise SegtuneError("points take the place of the queries; use retain=shared")
        if not self.name_templates or any(t.count("{}") != 1 for t in self.name_templates):
            raise SegtuneError(
                f"name_templates={self.name_templates}; give at least one sentence, each with "
                "{} once, where the name goes"
            )


SSPROMPT = SSPromptConfig()
PRESETS: Mapping[str, SSPromptConfig] = {
    "seem": SSPromptConfig(spatial="default", semantic="default"),
    "ssprompt": SSPROMPT,
    "spaprompt": replace(SSPROMPT, semantic="default"),
    "semprompt": replace(SSPROMPT, spatial="default"),
    "coop": replace(SSPROMPT, spatial="default", semantic="context"),
    "locn": replace(SSPROMPT, spatial="default", semantic="names"),
    "vspl": replace(SSPROMPT, spatial="points", semantic="default"),
}
"""Name of the system -> its choices; "seem" learns nothing."""


OBJECTS = {"spatial_lr_factor": 1.0}
"""For the instance and panoptic tasks, whose losses move queries further; chosen on `val` of
`jargon`: three times that gained nothing and cost words outside of the fit two points."""


def configure(system: str, options: Mapping[str, Any] | None = None) -> SSPromptConfig:
    """Returns the preset of a system with options changed.

    Raises:
        SegtuneError: an option is unknown, or a value of another type.
    """
    given = checked(SSPromptConfig, system, options)
    if given.get("task", "semantic") != "semantic":
        given = {**OBJECTS, **given}
    return replace(PRESETS[system], **given)
