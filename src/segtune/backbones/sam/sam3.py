"""SAM 3, frozen: words (or learned token sequences) to scored masks, all classes in one pass.

Carion et al., "SAM 3: Segment Anything with Concepts", 2025; the modules are those of
`transformers`. One pass of the model answers for one concept, so K classes are a batch of K over
the same vision features. Three places are open to prompts: the token sequence of each class
(SemPrompt), the content of the object queries and their first boxes (SpaPrompt). Only vision
features can be cached: text also enters the encoder behind them.

`Sam3Model.forward` documents `text_embeds` as a tensor but reads its `pooler_output`; so it gets
an output object here. Its box prompts need torchvision; `box_tokens` builds the same tokens from
the frozen modules with `ops.boxes.roi_align`. Video, tracking and click prompts are left out.

Shape letters: B images, K classes, L tokens of a class, Q queries, D token width (256 in the
released model), N boxes, h w mask grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import Sam3Model
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from segtune.backbones.sam.frozen import FrozenSam
from segtune.backbones.substitutes import with_tensors
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.boxes import roi_align
from segtune.ops.normalisation import HALF, Normalisation


@dataclass(frozen=True)
class ConceptMasks:
    """What SAM 3 says about each class in each image; masks cover the whole (squashed) image.

    Attributes:
        mask_logits: (B, K, Q, h, w), unbounded.
        score_logits: (B, K, Q), clamped to -12..12: does the query match the class?
        presence_logits: (B, K), clamped to -10..10: is the class in the image at all?
        semantic_logits: (B, K, h, w), unbounded: the separate head for the class as a whole.
        boxes_norm: (B, K, Q, 4), xyxy, 0..1 of the image.
    """

    mask_logits: Tensor
    score_logits: Tensor
    presence_logits: Tensor
    semantic_logits: Tensor
    boxes_norm: Tensor

    @property
    def scores(self) -> Tensor:
        """(B, K, Q), 0..1: match times presence, the score of the official code."""
        return self.score_logits.sigmoid() * self.presence_logits.sigmoid()[..., None]

    def pixel_scores(self, reduce: Literal["max", "sum"] = "max") -> Tensor:
        """Returns (B, K, h, w): scores times mask probabilities, over all queries.

        The argmax over K is a semantic map. SAM 3 itself defines none for several classes.
        """
        weighted = self.scores[..., None, None] * self.mask_logits.sigmoid()
        return weighted.amax(2) if reduce == "max" else weighted.sum(2)


class Sam3(FrozenSam):
    """A frozen SAM 3 whose class tokens and object queries can be learned.

    Attributes:
        tokenizer: turns a sentence into ids; None where only learned sequences are used.
        width: D, length of a token.
        joint_width: D; the pooled vector of a word is the mean of its tokens.
        dense_size: the input size, to which images are squashed.
        patch_size: 1, any image size will do.

    Example:
        >>> import torch
        >>> from segtune.backbones.sam.random import random_sam3
        >>> sam = random_sam3()
        >>> features = sam.features(torch.zeros(1, 3, 40, 60))
        >>> text = torch.zeros(2, 3, sam.width)
        >>> found = sam.decode(features, text)
        >>> found.mask_logits.shape, found.scores.shape
        (torch.Size([1, 2, 6, 16, 16]), torch.Size([1, 2, 6]))
    """

    kind: ClassVar[str] = "sam3"
    uses_windows: ClassVar[bool] = False
    masks_at_original: ClassVar[int] = 200
    background_word: ClassVar[str | None] = None

    def __init__(
        self,
        model: Sam3Model,
        tokenizer: Any | None = None,
        *,
        name: str = "sam3",
        normalisation: Normalisation = HALF,
    ) -> None:
        config: Any = model.config
        super().__init__(
            model,
            name=name,
            normalisation=normalisation,
            input_size=config.image_size,
            keeps_ratio=False,
        )
        self.tokenizer = tokenizer
        self.width: int = config.detr_encoder_config.hidden_size
        self.joint_width, self.dense_size, self.patch_size = self.width, self.input_size, 1

    @property
    def query_content(self) -> Tensor:
        """(Q, D): the default content of the object queries, z_S of SSPrompt."""
        return self.model.detr_decoder.query_embed.weight

    @property
    def reference_points(self) -> Tensor:
        """(Q, 4), unbounded: sigmoid gives the first box of each query, cxcywh 0..1."""
        return self.model.detr_decoder.reference_points.weight

    @torch.no_grad()
    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns the vision features of images; can be cached.

        Args:
            pixels: (B, 3, H, W), 0..255 RGB, any size; squashed to the square input.

        Returns:
            "level0", "level1", ...: (B, D, h_i, w_i), finest first; the coarsest level of the
            neck, which no prompt reads, is dropped.
        """
        output = self.model.get_vision_features(self.preprocess(pixels))
        return {f"level{i}": level for i, level in enumerate(output.fpn_hidden_states[:-1])}

    @torch.no_grad()
    def text_sequences(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns the projected tokens of every word, and which of them are real.

        The text tower is causal and padding is masked wherever text is used, so sequences are only
        as long as the longest word needs, not padded to 32.

        Args:
            words: K noun phrases.

        Returns:
            text: (K, L, D), z_T of SSPrompt.
            text_mask: (K, L) bool, False on padding.

        Raises:
            WeightsError: there is no tokenizer.
            SegtuneError: no words, or one is too long.
        """
        ids = self.tokenize(words)
        mask = _is_real(ids)
        return self.model.get_text_features(ids, mask.long()).pooler_output, mask

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Returns (N, T) int64 token ids, the end token repeated to the longest sentence.

        Raises:
            WeightsError: there is no tokenizer.
            SegtuneError: no sentences, or one is too long.
        """
        if self.tokenizer is None:
            raise WeightsError(
                f"{self.name} has no tokenizer; put CLIP's tokenizer files beside the weights or "
                "pass tokenizer=FOLDER"
            )
        if not sentences:
            raise SegtuneError('there are no words to encode; give at least one, such as "car"')
        context = self.model.config.text_config.max_position_embeddings
        rows = [self.tokenizer(word)["input_ids"] for word in sentences]
        for word, row in zip(sentences, rows, strict=True):
            if len(row) > context:
                raise SegtuneError(
                    f"{word[:60]!r}... is {len(row)} tokens long but {self.name} reads {context}; "
                    "use a shorter name"
                )
        longest = max(map(len, rows))
        ids = torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows])
        return ids.to(self.device)

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Returns (N, D), the mean over the tokens of each sentence.

        For what wants one vector per word; the model itself reads all tokens, see `text_sequences`.
        """
        mask = _is_real(tokens)
        text = self.model.get_text_features(tokens, mask.long()).pooler_output
        return (text * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def box_tokens(
        self, features: Mapping[str, Tensor], boxes_norm: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Returns the tokens of example boxes, which `decode` puts behind those of the words.

        Equal to what the official model computes with torchvision.

        Args:
            features: from `features`.
            boxes_norm: (B, N, 4), xyxy, 0..1 of the image.
            labels: (B, N) int: 1 shows what is wanted, 0 what is not; None takes 1.

        Returns:
            (B, N + 1, D); the last token stands for all boxes together.
        """
        encoder: Any = self.model.geometry_encoder
        level, position = (planes[-1] for planes in self._levels(features))
        boxes = boxes_norm.to(level)
        if labels is None:
            labels = torch.ones(boxes.shape[:2], dtype=torch.long)
        size = (boxes[..., 2:] - boxes[..., :2]).flatten(0, 1)  # (B N, 2): width, height
        centre = (boxes[..., 2:] + boxes[..., :2]).flatten(0, 1) / 2
        normed = encoder.vision_layer_norm(level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        boxes_grid = boxes * boxes.new_tensor([level.shape[-1], level.shape[-2]] * 2)
        regions = roi_align(normed, list(boxes_grid), encoder.roi_size)  # (B N, D, r, r)
        x, y = encoder.position_encoding.encode_1d_positions(centre[:, 0], centre[:, 1])
        place = torch.cat([y, x, size.flip(-1)], 1)
        tokens = encoder.boxes_direct_project(torch.cat([centre, size], 1))
        tokens = tokens + encoder.boxes_pool_project(regions).flatten(1)
        tokens = tokens + encoder.boxes_pos_enc_project(place)
        tokens = tokens.unflatten(0, boxes.shape[:2]) + encoder.label_embed(labels.to(level.device))
        summary = encoder.cls_embed.weight.expand(len(tokens), -1, -1)
        tokens = encoder.prompt_layer_norm(encoder.final_proj(torch.cat([tokens, summary], 1)))
        for layer in encoder.layers:
            tokens = layer(
                tokens,
                vision_feats=level.flatten(2).transpose(1, 2),
                vision_pos_encoding=position.expand_as(level).flatten(2).transpose(1, 2),
                prompt_mask=None,
            )
        return encoder.output_layer_norm(tokens)

    def decode(
        self,
        features: Mapping[str, Tensor],
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        box_tokens: Tensor | None = None,
        query_content: Tensor | None = None,
        reference_points: Tensor | None = None,
        chunk: int = 8,
    ) -> ConceptMasks:
        """Returns masks and scores of every class in every image; arguments as `decode_chunks`.

        This holds B * K * Q masks, 66 MB per image and class at the released size. Where only a
        reduction is wanted, reduce each part of `decode_chunks` instead:

            torch.cat([part.pixel_scores() for part in sam.decode_chunks(features, text)], 1)
        """
        parts = list(
            self.decode_chunks(
                features,
                text,
                text_mask,
                box_tokens=box_tokens,
                query_content=query_content,
                reference_points=reference_points,
                chunk=chunk,
            )
        )
        names = [field.name for field in fields(ConceptMasks)]
        return ConceptMasks(**{n: torch.cat([getattr(p, n) for p in parts], 1) for n in names})

    def decode_chunks(
        self,
        features: Mapping[str, Tensor],
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        box_tokens: Tensor | None = None,
        query_content: Tensor | None = None,
        reference_points: Tensor | None = None,
        chunk: int = 8,
    ) -> Iterator[ConceptMasks]:
        """Yields masks and scores of `chunk` classes after the other, for all images.

        Gradients reach `text`, `box_tokens`, `query_content` and `reference_points` only. Of the
        reference points they see the first decoder layer: later boxes are cut off from the graph.

        Args:
            features: from `features`.
            text: (K, L, D), one token sequence per class, e.g. from `text_sequences`.
            text_mask: (K, L) bool, False on padding; None takes all tokens as real.
            box_tokens: (B, N + 1, D) from `box_tokens`: examples, shown to every class.
            query_content: (Q, D) instead of the model's own; another Q needs both.
            reference_points: (Q, 4), unbounded, instead of the model's own.
            chunk: classes decoded at once.

        Raises:
            SegtuneError: shapes that do not fit each other.
        """
        levels, positions = self._levels(features)
        batch = len(levels[0])
        if text_mask is None:
            text_mask = torch.ones(text.shape[:2], dtype=torch.bool)
        if not text.numel() or text.shape[2:] != (self.width,) or text_mask.shape != text.shape[:2]:
            raise SegtuneError(
                f"text has shape {tuple(text.shape)} with a mask {tuple(text_mask.shape)} but "
                f"{self.name} needs (K, L, {self.width}) and (K, L)"
            )
        model = with_tensors(self.model, self._queries(query_content, reference_points))
        parts = zip(text.split(chunk), text_mask.split(chunk), strict=True)
        for words, mask in parts:
            words, mask = words.to(levels[0]), mask.to(self.device)
            count = len(words)
            # Class by class within an image: row b * count + k.
            words, mask = words.repeat(batch, 1, 1), mask.repeat(batch, 1)
            if box_tokens is not None:
                examples = box_tokens.to(words).repeat_interleave(count, 0)
                words = torch.cat([words, examples], 1)
                mask = torch.cat([mask, mask.new_ones(examples.shape[:2])], 1)
            rows = len(words)
            # The model drops the last level, which `features` did already: any will do there.
            vision = Sam3VisionEncoderOutput(
                fpn_hidden_states=tuple(_per_class(v, count) for v in (*levels, levels[-1])),
                fpn_position_encoding=tuple(
                    encoding.expand(rows, -1, -1, -1) for encoding in (*positions, positions[-1])
                ),
            )
            arguments = {
                "vision_embeds": vision,
                "text_embeds": BaseModelOutputWithPooling(pooler_output=words),
                "attention_mask": mask,
            }
            output: Any = model(**arguments)
            yield ConceptMasks(
                mask_logits=output.pred_masks.unflatten(0, (batch, count)),
                score_logits=output.pred_logits.unflatten(0, (batch, count)),
                presence_logits=output.presence_logits[:, 0].unflatten(0, (batch, count)),
                semantic_logits=output.semantic_seg[:, 0].unflatten(0, (batch, count)),
                boxes_norm=output.pred_boxes.unflatten(0, (batch, count)),
            )

    def _queries(self, content: Tensor | None, points: Tensor | None) -> dict[str, Tensor]:
        """Returns the tables that stand in for the model's own, by parameter name."""
        tables = {"query_embed": content, "reference_points": points}
        given = {name: table for name, table in tables.items() if table is not None}
        counts = {len(self.query_content if content is None else content)}
        counts.add(len(self.reference_points if points is None else points))
        if len(counts) > 1:
            raise SegtuneError(
                f"query_content and reference_points differ in length ({min(counts)} and "
                f"{max(counts)}); another number of queries needs both"
            )
        return {
            f"detr_decoder.{name}.weight": table.to(self.device) for name, table in given.items()
        }

    def _levels(self, features: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the maps, finest first, and the position encoding (1, D, h_i, w_i) of each."""
        maps = [features[f"level{i}"] for i in range(len(features))]
        maps = [level.to(self.device, self.model.dtype) for level in maps]
        encode = self.model.vision_encoder.neck.position_encoding
        shapes = [torch.Size((1, *level.shape[1:])) for level in maps]
        return maps, [encode(shape, self.device, self.model.dtype) for shape in shapes]


def _is_real(ids: Tensor) -> Tensor:
    """Returns (N, T) bool: the tokens up to the first end token, which is last in every row."""
    first = (ids == ids[:, -1:]).int().argmax(1, keepdim=True)
    return torch.arange(ids.shape[1], device=ids.device) <= first


def _per_class(level: Tensor, count: int) -> Tensor:
    """Returns (B * count, D, h, w): every image `count` times; no copy for a single image."""
    return level[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
