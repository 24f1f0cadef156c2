"""Every setting of the bundled CLIP's training, with the two presets it can be trained by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segtune.errors import SegtuneError
from segtune.trainers.bundled.recipes import from_preset, read_settings


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
    num_steps: int = 4_800
    crops_per_step: int = 64
    scenes_per_step: int = 16
    scene_windows: tuple[int, ...] = (96, 112, 128)
    lr: float = 1.5e-3  # AdamW: embeddings, projections, norms, biases
    muon_lr: float = 4e-3  # Muon: matrices inside the layers
    weight_decay: float = 0.05
    num_warmup_steps: int = 200
    lr_drop_step: int = 1_100  # from here on, both rates are multiplied by `lr_drop`
    lr_drop: float = 0.3
    restarts: tuple[int, ...] = (2_800,)  # steps at which the cosine starts again from the top
    max_grad_norm: float = 1.0

    # Weights of the loss terms; the full caption of a crop has weight 1.
    partial_weight: float = 0.7
    patch_weight: float = 1.0
    scene_weight: float = 0.25

    # Running.
    precision: str = "bf16"
    device: str = "auto"
    save_every: int = 100

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise SegtuneError(f"precision is {self.precision!r}; expected 'fp32' or 'bf16'")
        for side in (self.image_size, *self.scene_windows):
            if side % self.patch_size:
                raise SegtuneError(
                    f"side {side} px is not a multiple of the patch size {self.patch_size}"
                )
        if max(self.scene_windows) > self.scene_size:
            raise SegtuneError(
                f"scene_windows {self.scene_windows} must fit into scene_size {self.scene_size}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns every setting as plain values, ready for YAML."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    # Ten times the views at a larger batch, for an accelerator.
    "large": {
        "num_crops": 200_000,
        "num_scenes": 40_000,
        "num_steps": 12_000,
        "crops_per_step": 384,
        "scenes_per_step": 96,
        "num_warmup_steps": 500,
        "lr_drop_step": 4_700,
        "restarts": (),
    },
}


def read_recipe(path: Path | str) -> ClipRecipe:
    """Returns the recipe in a YAML file: an optional `preset`, then the settings that differ."""
    preset, settings = read_settings(path, example="recipes/zoo/clip_vit.yaml")
    return make_recipe(preset, **settings)


def make_recipe(preset: str = "cpu", **settings: Any) -> ClipRecipe:
    """Returns a preset with some settings replaced.

    Example:
        >>> make_recipe("large", seed=3).crops_per_step
        384
    """
    return from_preset(ClipRecipe(), PRESETS, preset, settings)
