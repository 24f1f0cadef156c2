"""Every setting of the training of mask proposals; the published values are in `presets`.

[R] marks what we reconstruct because no source that we know states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.model import MaskFormerConfig
from segtune.errors import SegtuneError, unknown_name
from segtune.storage.typed import require
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind
from segtune.train.schedules import poly_with_warmup
from segtune.trainers.maskformer.presets import PRESETS

SYSTEM = "ovseg/maskformer"
"""`system` of these recipes."""

ENCODERS: Mapping[str, SwinConfig | ResNetConfig] = {
    "swin-t": SwinConfig(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7),
    "swin-s": SwinConfig(96, (2, 2, 18, 2), (3, 6, 12, 24), window=7),
    "swin-b": SwinConfig(),
    "swin-l": SwinConfig(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12),
    "r50": ResNetConfig((3, 4, 6, 3), (64,), dilations=(1, 1, 1)),
    "r101": ResNetConfig((3, 4, 23, 3), (64,), dilations=(1, 1, 1)),
    "r50c": ResNetConfig((3, 4, 6, 3)),
    "r101c": ResNetConfig(),
    "swin-tiny": SwinConfig(24, (2, 2, 2, 1), (1, 2, 4, 8), window=4),  # of the bundled model
}
"""Name -> sizes of an image encoder; "c" is DeepLab's stem with a dilated last stage."""
COUNTS = (
    *("fpn_width", "mask_dim", "hidden", "decoder_heads", "feedforward", "decoder_layers"),
    *("num_queries", "longest", "crop", "dense_size"),
    *("steps", "batch", "accumulate", "workers", "save_every"),
)
"""Settings that are 1 or more."""


@dataclass(frozen=True)
class ProposalRecipe:
    """Everything that a run depends on; the defaults are OVSeg's with Swin-B, but for `data`.

    Lengths are in pixels.

    Attributes:
        name: of the model in its folder.
        init: weights to start from: an image encoder (`backbones.encoder_files`), or a whole
            MaskFormer of the same sizes (file, folder or "maskformer-tiny"). None: fresh ones.
        data, split, layout: of the labelled images, as `open_dataset` takes them; a folder that is
            not divided has the split None (`--set split=null`).
        protocol: whose classes are learned, with its tags, such as "voc15-5". Classes tagged unseen
            become unlabelled.
        text: CLIP whose words the queries learn to match; it stays as it is.
        templates: sentences around the words.
        encoder: a key of `ENCODERS`.
        drop_path: stochastic depth of a Swin.
        freeze_at: of a ResNet, parts that are not learned: 1 the stem, 2 the stem and res2, ...
        shorts: short sides from which one is drawn per view; `longest` bounds the long side.
        crop: side of the square view.
        dense_size: short side of images for the finished model.
        batch: images per optimiser step; `accumulate` parts of it go through the model one by one.
        warmup: steps of the linear rise from `warmup_from` times the rate.
        encoder_lr: rate of the image encoder over that of the rest.
        clip_norm: largest norm of the gradient of the whole model.
        dense_loss: compare masks at the size of the predictions, a shortcut for small machines; the
            papers enlarge predictions to the size of the view.
        precision: "bf16" runs the network in that type, on accelerators only.
        workers: threads that read images.
        pair, threshold, fusion_weight: the published system as which the finished model answers
            with its CLIP, and its two settings that depend on the model; None is the system's own.
    """

    name: str = "maskformer"
    seed: int = 0
    init: str | None = None

    # Data and words.
    data: str = ""
    split: str | None = "train"
    layout: str | None = None
    protocol: str | None = None
    text: str = "openai/clip-vit-large-patch14"
    templates: str = "vild_14"

    # Model.
    encoder: str = "swin-b"
    drop_path: float = 0.3
    freeze_at: int = 0
    fpn_width: int = 256
    mask_dim: int = 256
    hidden: int = 256
    decoder_heads: int = 8
    feedforward: int = 2048
    decoder_layers: int = 6
    num_queries: int = 100
    class_hidden: int | None = 1024
    dropout: float = 0.1

    # Views.
    shorts: tuple[int, ...] = tuple(range(320, 1281, 64))
    longest: int = 2560  # [R] the bound of the test images
    crop: int = 640
    dense_size: int = 640

    # Optimisation: AdamW, (1 - step / steps)^power.
    steps: int = 120_000
    batch: int = 32
    accumulate: int = 1
    lr: float = 6e-5
    weight_decay: float = 1e-2
    encoder_lr: float = 1.0
    power: float = 0.9
    warmup: int = 1500
    warmup_from: float = 1e-6
    clip_norm: float = 0.01
    dense_loss: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"

    workers: int = 8
    save_every: int = 1000

    # Use: of the folder that names the model and its CLIP.
    pair: Literal["ovseg", "simbaseline", "zegformer"] = "ovseg"
    threshold: float | None = None
    fusion_weight: float | None = None

    def __post_init__(self) -> None:
        if not self.data:
            raise SegtuneError(
                "the recipe names no data; add for example --set data=COCO, a folder that "
                "`segtune datasets` knows"
            )
        if self.encoder not in ENCODERS:
            raise unknown_name(self.encoder, tuple(ENCODERS), what="known image encoder")
        require(self, *COUNTS, least=1)
        require(self, "weight_decay", "warmup", "freeze_at", least=0)
        require(self, "lr", "encoder_lr", "clip_norm", above=0)
        if self.hidden % (2 * self.decoder_heads) or self.fpn_width % 32:
            raise SegtuneError(
                f"hidden={self.hidden}, decoder_heads={self.decoder_heads}, fpn_width="
                f"{self.fpn_width}; hidden must be an even multiple of decoder_heads, fpn_width a "
                "multiple of 32"
            )
        if self.batch % self.accumulate:
            raise SegtuneError(
                f"batch={self.batch} cannot be cut into accumulate={self.accumulate} equal parts"
            )
        if not self.shorts or min(self.shorts) < 1 or self.crop % 32:
            raise SegtuneError(
                f"shorts={list(self.shorts)}, crop={self.crop}; expected at least one short side, "
                "and a crop that is a multiple of 32"
            )
        if self.freeze_at > 5:
            raise SegtuneError(f"freeze_at={self.freeze_at}; expected 0 to 5")
        is_swin = isinstance(ENCODERS[self.encoder], SwinConfig)
        if self.freeze_at and is_swin:
            raise SegtuneError(
                f"freeze_at={self.freeze_at} is for ResNets; a Swin is learned whole"
            )
        self.model_config(joint_width=1)

    def model_config(self, joint_width: int) -> MaskFormerConfig:
        """Returns the sizes of the model; `joint_width` is that of the CLIP."""
        encoder = ENCODERS[self.encoder]
        if isinstance(encoder, SwinConfig):
            encoder = replace(encoder, drop_path=self.drop_path)
        return MaskFormerConfig(
            image_encoder=encoder,
            fpn_width=self.fpn_width,
            mask_dim=self.mask_dim,
            hidden=self.hidden,
            num_heads=self.decoder_heads,
            feedforward=self.feedforward,
            num_layers=self.decoder_layers,
            num_queries=self.num_queries,
            joint_width=joint_width,
            class_hidden=self.class_hidden,
            dropout=self.dropout,
        )

    def pace(self) -> Pace:
        """Returns poly decay after a linear rise."""

        def rate(step: int, peak: float) -> float:
            return peak * poly_with_warmup(
                step,
                base_lr=1.0,
                steps=self.steps,
                power=self.power,
                min_lr=0.0,
                warmup=self.warmup,
                warmup_factor=self.warmup_from,
            )

        return Pace(self.steps, rate, self.clip_norm, self.save_every)


KIND = RecipeKind(
    ProposalRecipe,
    "recipes/ovseg/maskformer-tiny.yaml",
    system=SYSTEM,
    presets=PRESETS,
    default="ovseg-swinb",
)
make_recipe, read_recipe = KIND.make, KIND.read
