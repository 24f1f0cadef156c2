"""Where the regions of an image come from: its labels, or a model that proposes masks.

A source yields (q, H, W) bool masks on the original image, a few at a time, so that a hundred masks
of a large photograph never lie in memory together. Masks are resized as logits and cut last, at the
original size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.two_stage.proposals import ProposalModel
from segtune.data.regions import named_regions
from segtune.errors import SegtuneError
from segtune.ops.resize import resized, to_original
from segtune.predict.pixels import padded
from segtune.types import Geometry, Sample, Vocabulary

GROUND_TRUTH = "ground-truth"
AT_ONCE = 16
"""Masks that are in memory together."""


class MaskSource(Protocol):
    """Gives the masks of an image.

    Attributes:
        name: what the rows of a file call it.
        settings: weights and settings that its masks depend on besides the image.
    """

    name: str
    settings: str

    def key(self, sample: Sample) -> str:
        """Returns a text that changes where the masks of a sample could change."""
        ...

    def __call__(self, sample: Sample) -> Iterator[np.ndarray]:
        """Yields (q, H, W) bool masks on the original image; none of them need be disjoint."""
        ...


class LabelMasks:
    """The annotated masks of a dataset.

    Where a sample lists objects: each with a name, crowds left out, and every stuff of its map.
    Where it has a class map only: one mask per class that is present, as in OVSeg's table of pairs
    from ground-truth masks.
    """

    name = GROUND_TRUTH
    settings = "labels"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def key(self, sample: Sample) -> str:
        """Returns a hash of the masks themselves."""
        digest = hashlib.sha256()
        for mask in self._masks(sample):
            digest.update(f"{mask.shape}".encode() + np.packbits(mask).tobytes())
        return f"{self.name}-{digest.hexdigest()[:24]}"

    def __call__(self, sample: Sample) -> Iterator[np.ndarray]:
        """Yields the masks, objects first."""
        masks = self._masks(sample)
        for start in range(0, len(masks), AT_ONCE):
            yield np.stack(masks[start : start + AT_ONCE])

    def _masks(self, sample: Sample) -> list[np.ndarray]:
        return [region.mask for region in named_regions(sample, self.vocabulary)]


class ProposedMasks:
    """The masks that a model proposes.

    Args:
        model: gives mask logits for padded pixels.
        short_side: images are resized so that their shorter side is this long.
        threshold: a pixel belongs to a mask where its probability is above; 0.5 by default, the
            published systems use 0.3 to 0.5 (spec, section 0).
        device: where the model is.
    """

    def __init__(
        self,
        model: ProposalModel,
        *,
        short_side: int,
        threshold: float = 0.5,
        device: torch.device | None = None,
    ) -> None:
        if not 0 < threshold < 1:
            raise SegtuneError(f"the threshold of masks is {threshold}; expected 0 to 1, exclusive")
        self.model, self.short_side, self.threshold = model, short_side, threshold
        self.device = device
        self.name = model.name
        self.settings = f"{model.fingerprint}, short side {short_side}, threshold {threshold}"

    def key(self, sample: Sample) -> str:
        """Returns the settings; the image is the caller's."""
        return self.settings

    @torch.inference_mode()
    def __call__(self, sample: Sample) -> Iterator[np.ndarray]:
        """Yields the masks in the order of the queries, empty ones too."""
        pixels = sample.pixels()
        picture = resized(pixels, self.short_side).to(self.device)
        batch = padded(picture, self.model.stride, self.model.padding)[None]
        geometry = Geometry(
            original_size=(pixels.shape[0], pixels.shape[1]),
            resized_size=(picture.shape[1], picture.shape[2]),
            input_size=(batch.shape[2], batch.shape[3]),
        )
        logits: Tensor = self.model.propose(batch).mask_logits[0]  # (Q, h, w)
        least = float(np.log(self.threshold / (1 - self.threshold)))
        for part in logits.split(AT_ONCE):
            yield (to_original(part, geometry) > least).cpu().numpy()
