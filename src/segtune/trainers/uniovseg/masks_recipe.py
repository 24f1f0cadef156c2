"""Every setting of stage 1; [P] marks the paper, [C] the released config, [O] our choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.errors import SegtuneError
from segtune.systems.uniovseg.loss import MaskLossConfig
from segtune.systems.uniovseg.matching import Matching
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind

SYSTEM = "uniovseg/masks"
"""`system` of these recipes."""
RANDOM_CLIP = "random"
"""A tiny CLIP with random weights and no words, to see a run from end to end."""


@dataclass(frozen=True)
class MasksRecipe:
    """Everything that a run depends on; the defaults are the published ones, but for `data`.

    Attributes:
        name: of the model in its folder.
        clip: a CLIP with a ConvNeXt, by name or path; it stays as it is. "random" is a tiny one.
        init: a Uni-OVSeg to start from, of these sizes; its CLIP replaces `clip`.
        data, split, layout: of images with masks, or with label maps, whose connected parts are
            masks then; as `open_dataset` takes them.
        canvas: side of the views and of the finished model's input, in pixels.
        scale: range of the random size of a view, in canvases.
        distort: change colours.
        min_area, max_area: share of a view of the masks that are kept.
        max_masks: of a view; also the number of its boxes.
        grid: points per side of a view, each somewhere in its cell.
        milestones: shares of the run after which the rate is a tenth.
    """

    name: str = "uniovseg"
    seed: int = 0
    clip: str = "clip-convnext_large_d_320.laion2b-s29b-b131k-ft-soup"
    init: str | None = None

    # Data.
    data: str = ""
    split: str | None = "train"
    layout: str | None = None

    # Model.
    hidden: int = 256
    num_heads: int = 8
    pixel_layers: int = 6
    pixel_feedforward: int = 1024
    decoder_layers: int = 9  # [C]; 6 [P]
    feedforward: int = 2048
    num_granularities: int = 4
    positions: Literal["fourier", "sine"] = "fourier"  # [C]; sine [P]
    groups: int = 32

    # Views.
    canvas: int = 1024  # [C]; 896 [P]
    scale: tuple[float, float] = (0.8, 1.2)
    distort: bool = True  # [C]
    min_area: float = 1e-4  # [C]
    max_area: float = 0.8  # [C]
    max_masks: int = 40  # [C]

    # Losses.
    grid: int = 10  # [C]
    matching: Matching = "official"
    num_points: int = 12544

    # Optimisation: AdamW in steps.
    steps: int = 60_000  # [P]
    batch: int = 56  # [P]
    lr: float = 1e-4  # [C]
    weight_decay: float = 0.05  # [C]; none for norms and embeddings
    milestones: tuple[float, ...] = (0.85, 0.95)  # [C]
    clip_norm: float = 1.0  # [C]
    precision: Literal["fp32", "bf16"] = "fp32"

    workers: int = 8
    save_every: int = 1000

    def __post_init__(self) -> None:
        if not self.data:
            raise SegtuneError(
                "the recipe names no data; add for example --set data=CAMVID, a folder that "
                "`segtune datasets` knows"
            )
        for name in ("max_masks", "grid", "num_points", "steps", "batch", "workers", "save_every"):
            if getattr(self, name) < 1:
                raise SegtuneError(f"{name}={getattr(self, name)}; expected 1 or more")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise SegtuneError(f"scale={list(self.scale)}; expected a range above 0")
        if not 0 <= self.min_area < self.max_area <= 1:
            raise SegtuneError(
                f"min_area={self.min_area}, max_area={self.max_area}; expected a range in 0 to 1"
            )
        if min(self.lr, self.clip_norm) <= 0 or self.weight_decay < 0:
            raise SegtuneError("lr and clip_norm must be above 0, weight_decay 0 or up")
        if self.hidden % (2 * self.num_heads) or self.hidden % self.groups:
            raise SegtuneError(
                f"hidden={self.hidden}, num_heads={self.num_heads}, groups={self.groups}; hidden "
                "must be an even multiple of num_heads, and a multiple of groups"
            )
        self.model_config(ClipConvNextConfig())

    def model_config(self, clip: ClipConvNextConfig) -> UniOvsegConfig:
        """Returns the sizes of the model on a CLIP."""
        return UniOvsegConfig(
            clip=clip,
            hidden=self.hidden,
            num_heads=self.num_heads,
            pixel_layers=self.pixel_layers,
            pixel_feedforward=self.pixel_feedforward,
            decoder_layers=self.decoder_layers,
            feedforward=self.feedforward,
            num_granularities=self.num_granularities,
            positions=self.positions,
            groups=self.groups,
            canvas=self.canvas,
        )

    def losses(self) -> MaskLossConfig:
        """Returns the settings of the losses."""
        return MaskLossConfig(num_points=self.num_points, matching=self.matching)

    def pace(self) -> Pace:
        """Returns a constant rate that falls to a tenth at every milestone."""
        return Pace(
            self.steps,
            lambda step, peak: stepped(step, peak, self.steps, self.milestones),
            self.clip_norm,
            self.save_every,
        )


def stepped(step: int, peak: float, steps: int, milestones: tuple[float, ...]) -> float:
    """Returns the rate of a step: the peak, a tenth of it after the first milestone, and so on.

    Example:
        >>> [stepped(step, 1.0, 100, (0.85, 0.95)) for step in (84, 85, 99)]
        [1.0, 0.1, 0.01]
    """
    passed = sum(step >= share * steps for share in milestones)
    return peak / 10**passed


KIND = RecipeKind(MasksRecipe, "recipes/uniovseg/masks-tiny.yaml", system=SYSTEM)
make_recipe, read_recipe = KIND.make, KIND.read
