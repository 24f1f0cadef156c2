"""Every setting of the bundled CLIP's training, with the two presets it can be trained by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from segtune.errors import SegtuneError
from segtune.storage.typed import require
from segtune.train.loop import Pace
from segtune.train.recipe import RecipeKind
from segtune.train.schedules import cosine_with_restarts

COUNTS = (
    *("image_size", "patch_size", "vision_width", "vision_layers", "vision_heads", "text_width"),
    *("text_layers", "text_heads", "projection_dim", "vocab_size", "context_length", "scene_size"),
    *("num_crops", "num_scenes", "steps", "crops_per_step", "scenes_per_step", "save_every"),
)
"""Settings that are 1 or more."""


@dataclass(frozen=True)
class ClipRecipe:
    """Settings of one training run; the defaults are the `cpu` preset.

    Pixels are square sides. `crops` show one thing, or one stuff, and train the image embedding;
    `scenes` show many and train the patch embeddings of the value path.
    """

    name: str = "clip-vit-tiny"
    seed: int = 0

    # Model: an ordinary CLIPModel.
    image_size: int = 64
    patch_size: int = 8
    vision_width: int = 160
    vision_layers: int = 6
    vision_heads: int = 5
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4
    projection_dim: int = 128
    vocab_size: int = 1792
    context_length: int = 32

    # Rendered once, kept in the cache.
    num_crops: int = 60_000
    num_scenes: int = 12_000
    scene_size: int = 128

    # Optimisation.
    steps: int = 4_800
    crops_per_step: int = 64
    scenes_per_step: int = 16
    scene_windows: tuple[int, ...] = (96, 112, 128)
    lr: float = 1.5e-3  # AdamW: embeddings, projections, norms, biases
    muon_lr: float = 4e-3  # Muon: matrices inside the layers
    weight_decay: float = 0.05
    warmup: int = 200
    lr_drop_step: int = 1_100  # from here on, both rates are multiplied by `lr_drop`
    lr_drop: float = 0.3
    restarts: tuple[int, ...] = (2_800,)  # steps at which the cosine starts again from the top
    clip_norm: float = 1.0

    # Weights of the loss terms; the full caption of a crop has weight 1.
    partial_weight: float = 0.7
    patch_weight: float = 1.0
    scene_weight: float = 0.25

    # Running.
    precision: Literal["fp32", "bf16"] = "bf16"
    device: str = "auto"
    save_every: int = 100

    def __post_init__(self) -> None:
        require(self, *COUNTS, least=1)
        require(self, "weight_decay", "warmup", "lr_drop_step", least=0)
        require(self, "lr", "muon_lr", "lr_drop", "clip_norm", above=0)
        for side in (self.image_size, *self.scene_windows):
            if side % self.patch_size:
                raise SegtuneError(
                    f"side {side} px is not a multiple of the patch size {self.patch_size}"
                )
        if max(self.scene_windows) > self.scene_size:
            raise SegtuneError(
                f"scene_windows {self.scene_windows} must fit into scene_size {self.scene_size}"
            )

    def pace(self) -> Pace:
        """Returns a linear rise, a cosine to one percent with restarts, and a drop of the peaks."""

        def rate(step: int, peak: float) -> float:
            top = peak * (self.lr_drop if step >= self.lr_drop_step else 1.0)
            return cosine_with_restarts(
                step,
                base_lr=top,
                steps=self.steps,
                warmup=self.warmup,
                restarts=self.restarts,
                min_lr=0.01 * top,
            )

        return Pace(self.steps, rate, self.clip_norm, self.save_every)


PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    # Ten times the views at a larger batch, for an accelerator.
    "large": {
        "num_crops": 200_000,
        "num_scenes": 40_000,
        "steps": 12_000,
        "crops_per_step": 384,
        "scenes_per_step": 96,
        "warmup": 500,
        "lr_drop_step": 4_700,
        "restarts": (),
    },
}


KIND = RecipeKind(
    ClipRecipe, "recipes/zoo/clip_vit.yaml", system="zoo/clip_vit", presets=PRESETS, default="cpu"
)
make_recipe, read_recipe = KIND.make, KIND.read
