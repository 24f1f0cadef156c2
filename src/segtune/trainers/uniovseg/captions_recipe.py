"""Every setting of stage 2; [P] marks the paper, [C] the released config, [O] our choice.

The stage-2 code was never released. Images lie whole on the canvas, without random views [O]: the
pairs of an image are then always the same, and are found once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segtune.errors import SegtuneError
from segtune.systems.uniovseg.alignment import Confidence, CostKind
from segtune.systems.uniovseg.config import UniOvsegSettings
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind
from segtune.trainers.uniovseg.masks_recipe import stepped

SYSTEM = "uniovseg/captions"
"""`system` of these recipes."""


@dataclass(frozen=True)
class CaptionsRecipe:
    """Everything that a run depends on; the defaults are the published ones, but for the data.

    Attributes:
        model: a Uni-OVSeg of stage 1, with its tokenizer.
        data, split, layout: of images with captions, as `open_dataset` takes them.
        nouns, noun_options: what finds the entities of a caption; see `segtune.vocabulary.nouns`.
        max_entities: of an image.
        templates: sentences around the entities.
        sizes: canvases at which regions are compared with entities; the costs are averaged.
        settings: options of the system `uniovseg`, such as {"rank": 4}.
        max_masks: of an image that may show an entity, best first.
        min_area: share of the canvas of such a mask.
        cost: what an assignment costs; see `segtune.systems.uniovseg.alignment`.
        confidence: which assigned pairs are believed.
        milestones: shares of the run after which the rate is a tenth.
    """

    model: str = ""
    seed: int = 0

    # Data and words.
    data: str = ""
    split: str | None = "train"
    layout: str | None = None
    nouns: str = "rules"
    noun_options: Mapping[str, Any] = field(default_factory=dict)
    max_entities: int = 32  # [O]
    templates: str = "vild_14"  # [P]

    # Pairs.
    sizes: tuple[int, ...] = (896, 1024)  # [P]
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_masks: int = 100  # [O]
    min_area: float = 1e-3  # [O]
    cost: CostKind = "softmax"  # [C]; cosine [P]
    confidence: Confidence = field(default_factory=Confidence)

    # Optimisation: AdamW in steps, as in stage 1.
    steps: int = 60_000  # [P]
    batch: int = 56  # [P]
    lr: float = 1e-4  # [C]
    weight_decay: float = 0.05  # [C]
    milestones: tuple[float, ...] = (0.85, 0.95)  # [C]
    clip_norm: float = 1.0  # [C]

    save_every: int = 1000

    def __post_init__(self) -> None:
        for name, example in (("model", "runs/masks/model"), ("data", "captions.jsonl")):
            if not getattr(self, name):
                raise SegtuneError(
                    f"the recipe names no {name}; add for example --set {name}={example}"
                )
        if not self.sizes or min(self.sizes) < 1:
            raise SegtuneError(f"sizes={list(self.sizes)}; expected at least one size in pixels")
        for name in ("max_entities", "max_masks", "steps", "batch", "save_every"):
            if getattr(self, name) < 1:
                raise SegtuneError(f"{name}={getattr(self, name)}; expected 1 or more")
        if min(self.lr, self.clip_norm) <= 0 or self.weight_decay < 0:
            raise SegtuneError("lr and clip_norm must be above 0, weight_decay 0 or up")

    def pace(self) -> Pace:
        """Returns a constant rate that falls to a tenth at every milestone."""
        return Pace(
            self.steps,
            lambda step, peak: stepped(step, peak, self.steps, self.milestones),
            self.clip_norm,
            self.save_every,
        )

    def system_options(self) -> dict[str, Any]:
        """Returns the options of the system whose adapter is trained."""
        if self.settings.get("learns", UniOvsegSettings.learns) != "adapter":
            raise SegtuneError("settings.learns must be adapter, or be left out")
        return dict(self.settings)


KIND = RecipeKind(CaptionsRecipe, "recipes/uniovseg/captions.yaml", system=SYSTEM)
make_recipe, read_recipe = KIND.make, KIND.read
