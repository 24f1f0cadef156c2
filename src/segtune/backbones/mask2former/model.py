"""Mask2Former (Cheng et al., CVPR 2022): one network for semantic, instance and panoptic masks.

Image encoder, deformable pixel decoder, masked-attention decoder with a classifier. The published
model computes full masks after every layer; here the mask features are brought to the three levels
once, and full masks exist only of the last layer: the same answers up to rounding (`resize="after"`
of `MaskedDecoder.prepare` is the published way). Dropout is left out, zero in every model.

Shape letters: B images, Q queries, K classes, L decoder layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import Proposals, fingerprint_of
from segtune.backbones.decoders.deformable import DeformablePixelDecoder
from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.encoders.resnet import ResNet
from segtune.backbones.encoders.swin import Swin, SwinConfig
from segtune.backbones.mask2former.config import Mask2FormerConfig
from segtune.ops.matched.mask_products import MaskProducts
from segtune.ops.normalisation import IMAGENET, Normalisation
from segtune.ops.set_loss import SetPrediction
from segtune.types import Geometry, MaskPrediction, MaskRule


class Mask2Former(nn.Module):
    """A frozen Mask2Former whose parts can be used one by one.

    Attributes:
        config: its sizes.
        name: what tables and files call it.
        image_encoder, pixel_decoder, decoder: its parts.
        normalisation: what it wants of pixels.
        patch_size: both sides of an input are padded to multiples of this many pixels.
        dense_size: shorter side in pixels at which it is best used.
        training_notes: plain values that a result of the model has to name, such as its data.
        folder: that it was read from, where it was; prompts may stand beside it.

    Example:
        >>> import torch
        >>> from segtune.backbones.mask2former.random import random_mask2former
        >>> from segtune.types import Geometry
        >>> model = random_mask2former()
        >>> answers = model.answer(torch.zeros(1, 3, 64, 80))
        >>> answers.mask_logits.shape, answers.class_logits.shape
        (torch.Size([1, 6, 16, 24]), torch.Size([1, 6, 4]))
        >>> model.prediction(answers, 0, Geometry((64, 80), (64, 80), (64, 96))).geometry.input_size
        (64, 96)
    """

    kind: ClassVar[str] = "mask2former"
    uses_windows: ClassVar[bool] = False
    patch_size = 32
    stride = 32

    def __init__(
        self,
        config: Mask2FormerConfig,
        *,
        name: str = "mask2former",
        normalisation: Normalisation = IMAGENET,
        dense_size: int = 800,
    ) -> None:
        super().__init__()
        self.config, self.name, self.dense_size = config, name, dense_size
        self.normalisation = normalisation
        self.training_notes: dict[str, str | int | float | bool] = {}
        self.folder: Path | None = None
        encoder = config.image_encoder
        self.image_encoder = Swin(encoder) if isinstance(encoder, SwinConfig) else ResNet(encoder)
        self.pixel_decoder = DeformablePixelDecoder(
            encoder.out_channels,
            hidden=config.pixel_width,
            mask_dim=config.mask_dim,
            num_layers=config.pixel_layers,
            num_heads=config.num_heads,
            feedforward=config.pixel_feedforward,
            num_points=config.num_points,
            groups=config.groups,
        )
        self.decoder = MaskedDecoder(
            hidden=config.hidden,
            num_queries=config.num_queries,
            num_layers=config.decoder_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            mask_dim=config.mask_dim,
            num_classes=config.num_classes,
            in_channels=config.pixel_width if config.projects_maps else None,
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Mask2Former:
        """Stays in eval mode while the weights are frozen; `requires_grad_` comes first."""
        return super().train(mode and self.decoder.query_content.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.query_content.device

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, 0..255."""
        return self.normalisation.mean

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.state_dict())

    # -- image ------------------------------------------------------------------------------

    def features(
        self, pixels: Tensor, *, sizes: Sequence[tuple[int, int]] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Returns what the decoder reads, for `decoder.prepare`.

        Args:
            pixels: (B, 3, H, W) float RGB, 0..255; any size. Padded at the right and bottom with
                the mean colour to multiples of 32.
            sizes: (height, width) of each image inside of `pixels` where they differ; what lies
                outside counts as padding.

        Returns:
            Three (B, C, h, w), coarse to fine, strides 32, 16, 8; and (B, M, h, w) at stride 4.
        """
        height, width = pixels.shape[-2:]
        x = self.normalisation.apply(pixels).to(self.decoder.query_content.dtype)
        x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        for image, (h, w) in zip(x, sizes or (), strict=bool(sizes)):
            image[:, h:] = 0
            image[:, :, w:] = 0
        return self.pixel_decoder(self.image_encoder(x))

    def memory(
        self, pixels: Tensor, *, sizes: Sequence[tuple[int, int]] | None = None
    ) -> DecoderMemory:
        """Returns what queries look at; see `features`."""
        return self.decoder.prepare(*self.features(pixels, sizes=sizes))

    # -- answers ----------------------------------------------------------------------------

    def answer(
        self, pixels: Tensor, *, sizes: Sequence[tuple[int, int]] | None = None
    ) -> DecoderOutput:
        """Returns the classes and masks (stride 4, padding included) of all queries."""
        decoder, memory = self.decoder, self.memory(pixels, sizes=sizes)
        return decoder(memory, decoder.query_content, decoder.query_position)

    def prediction(
        self,
        answers: DecoderOutput,
        image: int,
        geometry: Geometry,
        *,
        decision: MaskRule | None = None,
    ) -> MaskPrediction:
        """Returns the answers for one image as `ops.postprocess` takes them.

        `semantic`, `instances` and `panoptic` of it are the published inference. A class-agnostic
        model scores one class, "object".

        Args:
            answers: of a batch of which `image` is a row.
            decision: for `semantic`; models that were published for semantic segmentation alone
                take `SumAtResized()`.
        """
        assert answers.class_logits is not None
        logits, masks = answers.class_logits[image], answers.mask_logits[image]
        if not self.config.class_agnostic:
            return MaskPrediction(
                geometry, mask_logits=masks, class_logits=logits, decision=decision
            )
        objects = logits.float().softmax(-1)[:, :1]
        return MaskPrediction(geometry, mask_logits=masks, class_scores=objects, decision=decision)

    @torch.no_grad()
    def propose(self, pixels: Tensor) -> Proposals:
        """Returns the masks of (B, 3, H, W) pixels, 0..255 RGB; sides are multiples of 32.

        Objectness is the probability of "object", or of any class: 1 - p("no object").
        """
        answers = self.answer(pixels)
        assert answers.class_logits is not None
        probs = answers.class_logits.float().softmax(-1)
        sure = probs[..., 0] if self.config.class_agnostic else 1 - probs[..., -1]
        return Proposals(answers.mask_logits.float(), objectness=sure)

    def supervised(self, memory: DecoderMemory, states: Sequence[Tensor]) -> list[SetPrediction]:
        """Returns what a loss compares, with gradients: one prediction per state of the queries.

        Masks stay products: a loss at points never needs Q whole masks of L + 1 layers.

        Args:
            states: (B, Q, D) each, as `decoder.run(..., keep_all=True)` returns them of one group.
        """
        found = []
        for state in states:
            class_logits, mask_embeds = self.decoder.classes_and_embeds(state)
            masks = MaskProducts(mask_embeds, memory.mask_features)
            found.append(SetPrediction(class_logits, masks))
        return found
