"""MaskFormer and Mask2Former of transformers as sources of masks without names.

They know the classes that they were trained on and no words: what counts here is only how sure a
query is that it found something at all.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation, MaskFormerForInstanceSegmentation

from segtune.backbones.base import Proposals, fingerprint_of
from segtune.backbones.reading.hf_files import read_pretrained
from segtune.backbones.reading.preprocessing import stated_normalisation
from segtune.ops.normalisation import IMAGENET_BY_UNIT, Normalisation
from segtune.storage.json_files import read_settings

CLASSES = {
    "maskformer": MaskFormerForInstanceSegmentation,
    "mask2former": Mask2FormerForUniversalSegmentation,
}
"""model_type in config.json -> class of transformers."""


class HfProposals(nn.Module):
    """A frozen MaskFormer or Mask2Former; a `ProposalModel` without query embeddings.

    Args:
        model: `MaskFormerForInstanceSegmentation` or `Mask2FormerForUniversalSegmentation`.
        name: of the weights.
        normalisation: of the images that it was trained with.

    Example:
        >>> import torch
        >>> from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, SwinConfig
        >>> swin = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1],
        ...     window_size=4, out_features=["stage1", "stage2", "stage3", "stage4"])
        >>> config = MaskFormerConfig(backbone_config=swin)
        >>> source = HfProposals(MaskFormerForInstanceSegmentation(config))
        >>> found = source.propose(torch.zeros(1, 3, 64, 96))
        >>> found.mask_logits.shape, found.objectness.shape
        (torch.Size([1, 100, 16, 24]), torch.Size([1, 100]))
    """

    stride = 32

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "maskformer",
        normalisation: Normalisation = IMAGENET_BY_UNIT,
    ) -> None:
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.name, self.normalisation = name, normalisation

    def train(self, mode: bool = True) -> HfProposals:
        """Stays in evaluation mode: frozen means frozen."""
        return super().train(False)

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, 0..255."""
        return self.normalisation.mean

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.model.state_dict())

    @torch.no_grad()
    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB; sides are multiples of 32.

        Objectness is 1 - p("no object"), the last class of the model.
        """
        images = self.normalisation.apply(pixels).to(self.model.dtype)
        output = self.model(pixel_values=images)
        nothing = output.class_queries_logits.float().softmax(-1)[..., -1]
        return Proposals(output.masks_queries_logits.float(), objectness=1 - nothing)


def proposals_from_folder(path: Path, *, title: str) -> HfProposals:
    """Returns the model of a folder in the layout of transformers, on the CPU.

    Args:
        title: what tables and files call it.
    """
    kind = read_settings(path / "config.json")["model_type"]
    model = read_pretrained(path, CLASSES[kind])
    stated = stated_normalisation(path)
    return HfProposals(model, name=title, normalisation=stated or IMAGENET_BY_UNIT)
