"""Objects such as those of an example: what a model was shown, to be found in other images.

Experimental: see `docs/similar-objects.md` for how good it is. The mask of a support image says
which objects are meant; each mask is one object. Several support images make one kind of object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.backbones.prompting import ObjectMasks
from segtune.data.masks_in import MasksLike, read_masks, without_empty
from segtune.errors import SegtuneError
from segtune.ops.resize import resized
from segtune.predict.images import ImageLike, as_sample
from segtune.predict.look import to_segmentation
from segtune.predict.pixels import padded
from segtune.predict.prepared import PreparedModel
from segtune.systems.base import FindsSimilar
from segtune.types import Geometry, Resolution, Segmentation, Vocabulary

LEAST = 0.7
"""Smallest score of a mask by default; best F1 on `val` of `synthetic:longtail`."""
Support = tuple[ImageLike, MasksLike]
"""An image with masks of objects, one each."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a model was shown, from `Segmenter.show`; it changes no more.

    Attributes:
        model: that was shown it.
        examples: (S, C), what the objects look like; None where a class of the training is meant.
        name: what the objects are called.
        resolution: at which images are looked at.
    """

    model: PreparedModel
    examples: Tensor | None
    name: str
    resolution: Resolution

    @torch.inference_mode()
    def find(self, image: ImageLike, *, min_score: float | None = None) -> Segmentation:
        """Returns one scored segment per such object, best first; segments may overlap.

        Args:
            min_score: smallest score of a segment; None takes 0.7.
        """
        system = finds_similar(self.model)
        pixels, geometry = _input(system, as_sample(image).pixels(), self.resolution)
        if self.examples is None:
            masks = system.of_class(pixels, self.name)
        else:
            masks = system.similar(pixels, self.examples)
        assert masks.qualities is not None
        kept = masks.qualities >= (LEAST if min_score is None else min_score)
        masks = ObjectMasks(masks.mask_logits[kept], qualities=masks.qualities[kept])
        result = to_segmentation(masks, Vocabulary.of(self.name), geometry)
        backbone = self.model.backbone
        source = {"model": backbone.name, "fingerprint": backbone.fingerprint, "task": "similar"}
        return replace(result, source=source | {"short_side": self.resolution.short_side})


def finds_similar(model: PreparedModel) -> FindsSimilar:
    """Returns the system of a model that finds similar objects.

    Raises:
        SegtuneError: it does not.
    """
    system = model.system_for()
    if not isinstance(system, FindsSimilar):
        raise SegtuneError(
            f"{model.backbone.name} finds no objects by example; choose a model that was trained "
            "with SegPrompt, such as --model segprompt-tiny"
        )
    return system


def show_class(model: PreparedModel, name: str, resolution: Resolution) -> Shown:
    """Returns what a model knows of a class of its training; see `Segmenter.show_class`."""
    finds_similar(model).check_class(name)
    return Shown(model, None, name, resolution)


@torch.inference_mode()
def show(model: PreparedModel, supports: Sequence[Support], resolution: Resolution) -> Shown:
    """Returns what a model keeps of the objects in support images; see `Segmenter.show`."""
    system, examples = finds_similar(model), []
    if not supports:
        raise SegtuneError("no support image; give pairs of an image and masks of its objects")
    for image, masks in supports:
        sample = as_sample(image)
        picture = sample.pixels()
        size = (picture.shape[0], picture.shape[1])
        file = sample.image if isinstance(sample.image, Path) else None
        kept, _ = without_empty(read_masks(masks, size, image=file), "refuse")
        if not len(kept):
            where = f" in {masks}" if isinstance(masks, str | Path) else ""
            raise SegtuneError(f"no object is marked{where}; give a mask with a pixel or more")
        pixels, geometry = _input(system, picture, resolution)
        examples.append(system.examples(pixels, _over_input(kept, geometry).to(pixels.device)))
    return Shown(model, torch.cat(examples), "object", resolution)


def _input(
    system: FindsSimilar, picture: np.ndarray, resolution: Resolution
) -> tuple[Tensor, Geometry]:
    """Returns (1, 3, H, W) pixels as the model takes them, and how they came to be."""
    small = resized(picture, resolution.short_side).to(system.device)
    batch = padded(small, system.stride, system.padding)[None]
    size, inner = (picture.shape[0], picture.shape[1]), (small.shape[1], small.shape[2])
    return batch, Geometry(size, inner, (batch.shape[2], batch.shape[3]))


def _over_input(masks: np.ndarray, geometry: Geometry) -> Tensor:
    """Returns masks (N, H, W) bool over the model input; a tiny one does not vanish."""
    planes = torch.from_numpy(masks)[:, None].float()
    small = F.interpolate(planes, geometry.resized_size, mode="bilinear", antialias=True)[:, 0]
    vanished = ~(small > 0.5).flatten(1).any(1)
    inside = torch.where(vanished[:, None, None], small > 0, small > 0.5)
    height, width = geometry.input_size
    result = torch.zeros(len(masks), height, width, dtype=torch.bool)
    result[:, : small.shape[1], : small.shape[2]] = inside
    return result
