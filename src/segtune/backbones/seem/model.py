"""SEEM and X-Decoder, frozen: image encoder, pixel decoder, masked-attention decoder, text tower.

Zou et al., "Segment Everything Everywhere All at Once", NeurIPS 2023, and "Generalized Decoding for
Pixel, Image and Language", CVPR 2023. Both share one code base and one file layout. Words enter in
the classifier only, so masks do not depend on them. Left out: captioning, referring to another
image, audio, and memory between rounds of clicks.

Shape letters: B images, P point or box prompts, T points or tokens, Q queries, K classes, k joint
image-text width, D decoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import fingerprint_of
from segtune.backbones.decoders.fpn import TransformerFpn
from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.encoders.davit import DaViT, DaViTConfig
from segtune.backbones.encoders.focalnet import FocalNet, FocalNetConfig
from segtune.backbones.seem.config import SeemConfig
from segtune.backbones.seem.look import LookedSeem
from segtune.backbones.seem.point_prompts import PointPrompts, answer_points, boxes_to_points
from segtune.backbones.seem.text import SeemText, SeemTextConfig
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.normalisation import IMAGENET, Normalisation
from segtune.ops.resize import resized
from segtune.types import Geometry


class Seem(nn.Module):
    """A frozen SEEM or X-Decoder whose parts can be used one by one.

    Attributes:
        config: its sizes.
        name: what tables and files call it.
        image_encoder, pixel_decoder, decoder, text: its parts.
        points: samples point prompts; None for X-Decoder.
        normalisation: of the images that it was trained with.
        patch_size: both sides of an input are padded to multiples of this many pixels.
        joint_width: k.
        dense_size: shorter side in pixels at which it is best used for dense prediction.
        mask_resize: how its masks return to the original size.

    Example:
        >>> import torch
        >>> from segtune.backbones.seem.model import random_seem
        >>> seem = random_seem()
        >>> memory = seem.decoder.prepare(*seem.features(torch.zeros(1, 3, 64, 80)))
        >>> output = seem.decoder(memory, seem.default_content, seem.default_position)
        >>> output.mask_logits.shape
        torch.Size([1, 6, 16, 24])
        >>> click = torch.tensor([[[[0.5, 0.5]]]])
        >>> seem.segment_points(memory, click).mask_logits.shape
        torch.Size([1, 1, 16, 24])
    """

    kind: ClassVar[str] = "seem"
    uses_windows: ClassVar[bool] = False
    background_word: ClassVar[str | None] = "background"
    mask_resize: ClassVar[Literal["bicubic"]] = "bicubic"

    def __init__(
        self,
        config: SeemConfig,
        tokenizer: Any | None = None,
        *,
        name: str = "seem",
        normalisation: Normalisation = IMAGENET,
        dense_size: int = 640,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.name = name
        self.normalisation = normalisation
        self.dense_size = dense_size
        self.patch_size = 32
        self.joint_width = config.text.joint_width
        encoder = config.image_encoder
        self.image_encoder: FocalNet | DaViT = (
            DaViT(encoder) if isinstance(encoder, DaViTConfig) else FocalNet(encoder)
        )
        self.pixel_decoder = TransformerFpn(
            self.image_encoder.channels,
            hidden=config.hidden,
            mask_dim=config.mask_dim,
            num_layers=config.pixel_layers,
            num_heads=config.num_heads,
            feedforward=config.pixel_feedforward,
            groups=config.groups,
        )
        self.decoder = MaskedDecoder(
            hidden=config.hidden,
            num_queries=config.num_queries,
            num_layers=config.decoder_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            mask_dim=config.mask_dim,
            joint_width=self.joint_width,
        )
        self.points: PointPrompts | None = None
        if config.has_points:
            self.points = PointPrompts(config.hidden, num_slots=config.num_slots)
        self.text = SeemText(config.text)
        self.decoder.logit_scale = self.text.logit_scale  # one number, named in both parts
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Seem:
        """Stays in evaluation mode: frozen means frozen."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.text.logit_scale.device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.state_dict())

    # -- image ------------------------------------------------------------------------------

    def features(
        self, pixels: Tensor, *, sizes: Sequence[tuple[int, int]] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Returns the maps that the decoder reads, for `decoder.prepare`.

        Images are padded after the normalisation, with zeros at the right and bottom. Padding takes
        part in attention and in group statistics: an answer depends a little on it.

        Args:
            pixels: (B, 3, H, W) float RGB, 0..255; any size.
            sizes: (height, width) of each image inside of `pixels` where they differ; what lies
                outside counts as padding.

        Returns:
            Three (B, D, h, w), coarse to fine, strides 32, 16, 8; and (B, M, h, w) at stride 4.
        """
        height, width = pixels.shape[-2:]
        x = self.normalisation.apply(pixels.to(self.decoder.query_content.dtype))
        x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        for image, (h, w) in zip(x, sizes or (), strict=bool(sizes)):
            image[:, h:] = 0
            image[:, :, w:] = 0
        return self.pixel_decoder(self.image_encoder(x))

    @torch.inference_mode()
    def look(self, pixels: np.ndarray, short_side: int) -> LookedSeem:
        """Returns what the model sees of (H, W, 3) uint8 pixels, for any number of clicks.

        Args:
            short_side: length that the shorter side is resized to.
        """
        picture = resized(pixels, short_side).to(self.device)
        memory = self.decoder.prepare(*self.features(picture[None]), keep_keys=True)
        height, width = picture.shape[1:]
        input_size = (height + -height % self.patch_size, width + -width % self.patch_size)
        original_size = (pixels.shape[0], pixels.shape[1])
        return LookedSeem(self, memory, Geometry(original_size, (height, width), input_size))

    # -- words ------------------------------------------------------------------------------

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns token ids (M, longest), int64, padded with the end-of-text token.

        Raises:
            WeightsError: the model was loaded without a tokenizer.
            SegtuneError: a sentence does not fit the context of the text tower.
        """
        if self.tokenizer is None:
            raise WeightsError(
                f"{self.name} has no tokenizer files beside its weights; put tokenizer.json (or "
                "vocab.json and merges.txt) into its folder, or pass tokenizer=FOLDER"
            )
        context, end = self.config.text.context_length, self.text.end_id
        ids = [self.tokenizer(sentence)["input_ids"] for sentence in sentences]
        for sentence, tokens in zip(sentences, ids, strict=True):
            if len(tokens) > context:
                raise SegtuneError(
                    f"{sentence[:60]!r}... is {len(tokens)} tokens long but {self.name} reads "
                    f"{context}; use a shorter name or template"
                )
        longest = max(map(len, ids), default=0)
        padded = [tokens + [end] * (longest - len(tokens)) for tokens in ids]
        return torch.tensor(padded, dtype=torch.long).reshape(len(ids), longest)

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """Returns (M, k) text embeddings, unit length, of (M, T) int64 token ids."""
        return self.text.encode_text(token_ids.to(self.device))

    # -- queries and prompts ----------------------------------------------------------------

    @property
    def default_content(self) -> Tensor:
        """(Q, D), content of the default object queries.

        X-Decoder's last query stands for the whole image; it and the object queries do not see
        each other, so it is left out.
        """
        content = self.decoder.query_content
        return content[:-1] if self.config.has_image_query else content

    @property
    def default_position(self) -> Tensor:
        """(Q, D), position of the default object queries."""
        position = self.decoder.query_position
        return position[:-1] if self.config.has_image_query else position

    def segment_points(
        self,
        memory: DecoderMemory,
        points_norm: Tensor,
        labels: Tensor | None = None,
        *,
        text: Tensor | None = None,
        num_copies: int | None = None,
        generator: torch.Generator | None = None,
    ) -> DecoderOutput:
        """Returns one answer per point prompt, Q = P; see `point_prompts.answer_points`.

        Args:
            points_norm: (B, P, T, 2) points (x, y), column / width and row / height of the model
                input, padding included; the T points of a prompt belong to one object.
            labels: (B, P, T) int64: 1 positive, 0 negative, -1 no point; None is all positive.
            text: (K + 1, k) class embeddings, for class logits.
            num_copies: copies of random queries per prompt; None takes a copy of each.

        Raises:
            SegtuneError: the model has no point prompts, or shapes do not fit.
        """
        if self.points is None:
            raise SegtuneError(f"{self.name} takes no points or boxes; use a SEEM, no X-Decoder")
        return answer_points(
            self.decoder,
            self.points,
            memory,
            QueryGroup(self.default_content, self.default_position),
            points_norm,
            labels,
            text=text,
            num_copies=num_copies,
            generator=generator,
        )

    def segment_boxes(
        self,
        memory: DecoderMemory,
        boxes_norm: Tensor,
        *,
        per_side: int = 8,
        share: float = 0.75,
        text: Tensor | None = None,
        num_copies: int | None = None,
    ) -> DecoderOutput:
        """Returns one answer per box, which counts as a grid of positive points.

        Args:
            boxes_norm: (B, P, 4) xyxy, 0..1 of the model input, padding included.
            per_side: points per side of the grid.
            share: of the sides of the box that the grid covers; the value was chosen on the bundled
                model, the published ones take the whole box.
            text, num_copies: see `segment_points`.
        """
        points, labels = boxes_to_points(boxes_norm, per_side=per_side, share=share)
        return self.segment_points(memory, points, labels, text=text, num_copies=num_copies)

    def ask_points(
        self, memory: DecoderMemory, points_norm: Tensor, *, num_copies: int | None = None
    ) -> DecoderOutput:
        """Returns the answers to N single positive points (N, 2), the same for every image."""
        points = points_norm[None, :, None].expand(len(memory), -1, -1, -1)
        return self.segment_points(memory, points, num_copies=num_copies)


def random_seem(config: SeemConfig | None = None, *, seed: int = 0) -> Seem:
    """Returns a SEEM with random weights and no tokenizer, for tests and cost measurements.

    The default is tiny: D = 32, k = 16, 6 queries, 3 layers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Seem(config or TINY, name="random-seem")


TINY = SeemConfig(
    image_encoder=FocalNetConfig(
        embed_dim=8, depths=(1, 1, 1, 1), focal_levels=(2, 2, 2, 2), layer_scale=1.0
    ),
    text=SeemTextConfig(
        width=32,
        num_layers=2,
        num_heads=4,
        feedforward=64,
        context_length=64,
        vocab_size=64,
        joint_width=16,
    ),
    hidden=32,
    mask_dim=32,
    num_heads=4,
    pixel_layers=1,
    pixel_feedforward=64,
    groups=8,
    decoder_layers=3,
    feedforward=64,
    num_queries=6,
    num_slots=4,
)
