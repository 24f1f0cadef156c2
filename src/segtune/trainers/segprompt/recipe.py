"""Every setting of the class-agnostic training of a Mask2Former, with SegPrompt or without it.

The defaults are the published ones of SegPrompt's second stage on LVIS-OW; without prompts (both
numbers of queries zero) a recipe is that of the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.mask2former.config import RESNET50, Mask2FormerConfig
from segtune.errors import SegtuneError, unknown_name
from segtune.ops.set_loss import SetLossConfig
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind

SYSTEM = "segprompt"
"""`system` of these recipes."""

ENCODERS: Mapping[str, SwinConfig | ResNetConfig] = {
    "r50": RESNET50,
    "swin-t": SwinConfig(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7),
    "swin-s": SwinConfig(96, (2, 2, 18, 2), (3, 6, 12, 24), window=7),
    "swin-b": SwinConfig(),
    "swin-tiny": SwinConfig(24, (2, 2, 2, 1), (1, 2, 4, 8), window=4),  # of the bundled models
}
"""Name -> sizes of an image encoder."""
COUNTS = (
    *("hidden", "heads", "feedforward", "decoder_layers", "pixel_feedforward", "pixel_layers"),
    *("num_points", "groups", "num_queries", "crop", "steps", "batch", "save_every"),
)
"""Settings that are 1 or more."""


@dataclass(frozen=True)
class SegPromptRecipe:
    """Everything that a run depends on.

    Attributes:
        name: of the model in its folder.
        init: folder, official file or bundled Mask2Former of the same sizes to start from; queries
            that it has not start fresh. None: fresh weights.
        freeze_encoder: the image encoder stays as it is.
        data, split, layout: of images with objects, as `open_dataset` takes them.
        known: names of the classes whose masks are learned; empty: those of the group "known", or
            all things where there are no groups.
        prompts: queries and losses of SegPrompt; `num_prompts` and `num_examples` 0 for none.
        encoder: a key of `ENCODERS`.
        hidden, heads, feedforward, decoder_layers, pixel_feedforward, pixel_layers, num_points,
            groups, num_queries: sizes, see `Mask2FormerConfig`.
        crop: side of the square view; `scale` of it is the short side before, drawn from a range.
        dense_size: short side in pixels at which the model is used; None: `crop`.
        loss_points: points per mask; `dense_loss` compares small masks at all cells.
        lr_steps: shares of the run after which the rate is a tenth of what it was.
        encoder_lr: rate of the image encoder as a part of `lr`.
        half: store the model in float16.
    """

    name: str = "segprompt"
    init: str | None = None
    freeze_encoder: bool = False
    data: str = ""
    split: str | None = "train"
    layout: str | None = None
    known: tuple[str, ...] = ()
    prompts: SegPromptConfig = field(default_factory=SegPromptConfig)

    encoder: str = "r50"
    hidden: int = 256
    heads: int = 8
    feedforward: int = 2048
    decoder_layers: int = 9
    pixel_feedforward: int = 1024
    pixel_layers: int = 6
    num_points: int = 4
    groups: int = 32
    num_queries: int = 100

    crop: int = 1024
    scale: tuple[float, float] = (0.1, 2.0)
    dense_size: int | None = None
    loss_points: int = 12544
    dense_loss: bool = False

    steps: int = 90_000
    batch: int = 16
    lr: float = 1e-4
    weight_decay: float = 0.05
    encoder_lr: float = 0.1
    warmup: int = 0
    lr_steps: tuple[float, ...] = (2 / 3, 8 / 9)
    clip_norm: float = 0.01
    seed: int = 1
    save_every: int = 1000
    half: bool = False

    def __post_init__(self) -> None:
        if not self.data:
            raise SegtuneError(
                "the recipe names no data; add for example --set data=synthetic:longtail"
            )
        if self.encoder not in ENCODERS:
            raise unknown_name(self.encoder, tuple(ENCODERS), what="known image encoder")
        for name in (*COUNTS, *(("dense_size",) if self.dense_size is not None else ())):
            if getattr(self, name) < 1:
                raise SegtuneError(f"{name}={getattr(self, name)}; expected 1 or more")
        if self.hidden % (2 * self.heads) or self.hidden % self.groups or self.crop % 32:
            raise SegtuneError(
                f"hidden={self.hidden}, heads={self.heads}, groups={self.groups}, crop={self.crop};"
                " hidden must be an even multiple of heads and a multiple of groups, crop of 32"
            )
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise SegtuneError(f"scale={list(self.scale)}; expected a range such as [0.5, 2.0]")
        if min(self.lr, self.encoder_lr, self.clip_norm) <= 0 or self.weight_decay < 0:
            raise SegtuneError("lr, encoder_lr and clip_norm must be above 0, weight_decay 0 or up")
        if self.warmup < 0 or not all(0 < share < 1 for share in self.lr_steps):
            raise SegtuneError(
                f"warmup={self.warmup}, lr_steps={list(self.lr_steps)}; expected 0 or more, and "
                "shares of the run between 0 and 1"
            )
        if self.with_prompts and self.prompts.repeat > self.num_queries:
            raise SegtuneError(
                f"prompts.repeat={self.prompts.repeat} needs as many learned queries; "
                f"num_queries={self.num_queries}"
            )

    @property
    def with_prompts(self) -> bool:
        """Whether anything besides a plain Mask2Former is trained."""
        return self.prompts.num_prompts + self.prompts.num_examples > 0

    def model_config(self) -> Mask2FormerConfig:
        """Returns the sizes of the model; its only class is "object"."""
        return Mask2FormerConfig(
            ENCODERS[self.encoder],
            num_classes=1,
            class_agnostic=True,
            num_queries=self.num_queries,
            hidden=self.hidden,
            feedforward=self.feedforward,
            decoder_layers=self.decoder_layers,
            pixel_width=self.hidden,
            pixel_feedforward=self.pixel_feedforward,
            pixel_layers=self.pixel_layers,
            num_points=self.num_points,
            mask_dim=self.hidden,
            num_heads=self.heads,
            groups=self.groups,
        )

    def loss_config(self) -> SetLossConfig:
        """Returns the weights of Mask2Former, and where masks are compared."""
        return SetLossConfig(num_points=self.loss_points, dense=self.dense_loss)

    def pace(self) -> Pace:
        """Returns a linear rise, then steps to a tenth."""

        def rate(step: int, peak: float) -> float:
            drops = sum(step >= round(share * self.steps) for share in self.lr_steps)
            rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
            return peak * rise * 0.1**drops

        return Pace(self.steps, rate, self.clip_norm, self.save_every)


KIND = RecipeKind(SegPromptRecipe, "recipes/segprompt/longtail.yaml", system=SYSTEM)
make_recipe, read_recipe = KIND.make, KIND.read
