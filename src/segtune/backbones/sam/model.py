"""SAM and SAM 2, frozen: image features once, then masks for any prompt tokens.

Kirillov et al., ICCV 2023; Ravi et al., 2024. The modules are those of `transformers`. What is
added is the door that its `forward` does not have: prompt tokens go straight into the mask decoder,
so that they can be learned (SSPrompt on SAM) or computed from learned coordinates (VSPL).
Loading is in `sam_files.py`, SAM 3 in `sam3.py`. Mask prompts and video are left out.

Coordinates are `_norm`: 0..1 of the model input, which is the image resized (SAM: keeping its ratio
and padded right and bottom; SAM 2: squashed to a square). `to_input` makes them from pixels.

Shape letters: B images, P prompts, T tokens per prompt, D token width (256 in the released models),
M masks per prompt (1 or 3), h w mask grid, 4 times that of the image features.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import Sam2Model, SamModel

from segtune.backbones.sam.frozen import FrozenSam
from segtune.backbones.sam.look import LookedSam
from segtune.errors import SegtuneError
from segtune.ops.boxes import mask_nms
from segtune.ops.normalisation import IMAGENET_BY_UNIT, Normalisation
from segtune.types import Geometry


@dataclass(frozen=True)
class Proposals:
    """Masks of one image without names.

    Attributes:
        mask_logits: (N, h, w), unbounded, over the model input, padding included; best first.
        scores: (N,), 0..1, the overlap with the true region that the model expects.
    """

    mask_logits: Tensor
    scores: Tensor


class Sam(FrozenSam):
    """A frozen SAM or SAM 2 whose prompt tokens can be learned.

    It reads no words.

    Attributes:
        width: D, length of a prompt token.
        dense_size: the input size; images get there before the model resizes their longer side.
        patch_size: 1, any image size will do.

    Example:
        >>> import torch
        >>> from segtune.backbones.sam.random import random_sam
        >>> sam = random_sam("sam")
        >>> features = sam.features(torch.zeros(1, 3, 48, 64))
        >>> tokens = sam.default_tokens(grid=3)
        >>> mask_logits, iou = sam.decode(features, tokens)
        >>> tokens.shape, mask_logits.shape, iou.shape
        (torch.Size([9, 2, 32]), torch.Size([1, 9, 1, 32, 32]), torch.Size([1, 9, 1]))
    """

    kind: ClassVar[str] = "sam"
    uses_windows: ClassVar[bool] = False

    def __init__(
        self,
        model: SamModel | Sam2Model,
        *,
        name: str = "sam",
        normalisation: Normalisation = IMAGENET_BY_UNIT,
    ) -> None:
        settings: Any = model.config.prompt_encoder_config
        super().__init__(
            model,
            name=name,
            normalisation=normalisation,
            input_size=settings.image_size,
            keeps_ratio=isinstance(model, SamModel),
        )
        self.width: int = settings.hidden_size
        self.dense_size, self.patch_size = self.input_size, 1

    @torch.no_grad()
    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns everything the decoder needs of images; can be cached.

        Args:
            pixels: (B, 3, H, W), 0..255 RGB, any size; resized inside, see `geometry`.

        Returns:
            "image" (B, D, g, g); for SAM 2 also "high0" (B, D / 8, 4g, 4g) and
            "high1" (B, D / 4, 2g, 2g).
        """
        maps = self.model.get_image_embeddings(self.preprocess(pixels))
        if isinstance(maps, Tensor):
            return {"image": maps}
        return {"high0": maps[0], "high1": maps[1], "image": maps[2]}

    @torch.inference_mode()
    def look(self, pixels: np.ndarray, short_side: int | None = None) -> LookedSam:
        """Returns what the model sees of (H, W, 3) uint8 pixels, for any number of clicks.

        Args:
            short_side: plays no part; the model has an input size of its own.
        """
        picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
        return LookedSam(self, self.features(picture), self.geometry(*pixels.shape[:2]))

    # -- prompts to tokens ------------------------------------------------------------------

    def to_input(self, coords_px: Tensor, geometry: Geometry) -> Tensor:
        """Returns points (..., 2) or boxes (..., 4) in pixels of the image as `_norm` of the input.

        Args:
            coords_px: (x, y) or xyxy, in pixels of the original image.
        """
        factor = [
            resized / original / side
            for resized, original, side in zip(
                geometry.resized_size[::-1],
                geometry.original_size[::-1],
                geometry.input_size[::-1],
                strict=True,
            )
        ]
        return coords_px * coords_px.new_tensor(factor * (coords_px.shape[-1] // 2))

    @torch.no_grad()
    def default_tokens(self, grid: int = 10) -> Tensor:
        """Returns the default spatial prompts z_S of SSPrompt: one click per cell of a grid.

        Args:
            grid: clicks per side.

        Returns:
            (grid * grid, 2, D); the second token is the padding token of the model, the same for
            every prompt, which SSPrompt leaves frozen. The mean over prompts of the first token is
            a start for tokens that stand for classes.
        """
        points = grid_points(grid).to(self.device)
        return self.tokens_of_points(points[:, None])

    def tokens_of_points(self, points_norm: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns the tokens of clicks, differentiable in their coordinates (VSPL).

        Args:
            points_norm: (P, n, 2) or (B, P, n, 2), n clicks per prompt, (x, y) 0..1 of the input.
            labels: same without the last axis, int: 1 on the object, 0 beside it, -1 no click;
                None takes 1.

        Returns:
            (P, n + 1, D) or (B, P, n + 1, D), padding token last.
        """
        if points_norm.ndim not in (3, 4) or points_norm.shape[-1] != 2:
            raise SegtuneError(
                f"points have shape {tuple(points_norm.shape)}; pass (P, n, 2) with n clicks for "
                "each of P masks, or (B, P, n, 2)"
            )
        if labels is None:
            labels = torch.ones(points_norm.shape[:-1], dtype=torch.long, device=self.device)
        points, labels = points_norm.to(self.device), labels.to(self.device).long()
        if points_norm.ndim == 3:
            points, labels = points[None], labels[None]
        tokens, _ = self.model.prompt_encoder(points * self.input_size, labels, None, None)
        return tokens[0] if points_norm.ndim == 3 else tokens

    def tokens_of_boxes(self, boxes_norm: Tensor) -> Tensor:
        """Returns the tokens of boxes, one prompt per box, differentiable in the coordinates.

        Args:
            boxes_norm: (P, 4) or (B, P, 4), xyxy 0..1 of the input.

        Returns:
            (P, T, D) or (B, P, T, D); T = 2 corners, for SAM 2 followed by the padding token.
        """
        if boxes_norm.ndim not in (2, 3) or boxes_norm.shape[-1] != 4:
            raise SegtuneError(
                f"boxes have shape {tuple(boxes_norm.shape)}; pass (P, 4) or (B, P, 4), xyxy"
            )
        boxes = boxes_norm if boxes_norm.ndim == 3 else boxes_norm[None]
        boxes = boxes.to(self.device) * self.input_size
        tokens, _ = self.model.prompt_encoder(None, None, boxes.contiguous(), None)
        return tokens if boxes_norm.ndim == 3 else tokens[0]

    # -- tokens to masks --------------------------------------------------------------------

    def decode(
        self,
        features: Mapping[str, Tensor],
        tokens: Tensor,
        *,
        multimask: bool = False,
        chunk: int = 32,
        replace_unstable: bool | None = None,
        recompute: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Returns one or three masks for every prompt; gradients reach the tokens only.

        Args:
            features: from `features`.
            tokens: (P, T, D), the same for all images, or (B, P, T, D).
            multimask: three masks per prompt (whole, part, subpart) instead of one.
            chunk: prompts decoded at once; the decoder copies the image features for each.
            replace_unstable: SAM 2 with one mask only: where that mask is unstable, give the best
                of the three instead. A step without gradient, so None does it only where the
                tokens need none; pass False to evaluate exactly what was trained.
            recompute: keep no activations of a chunk, compute them again on the way back.

        Returns:
            mask_logits: (B, P, M, h, w), unbounded, over the model input, padding included.
            iou: (B, P, M), expected overlap with the true mask.
        """
        maps = {k: v.to(self.device, self.model.dtype) for k, v in features.items()}
        batch, _, height, width = maps["image"].shape
        if tokens.ndim == 3:
            tokens = tokens.expand(batch, *tokens.shape)
        if tokens.ndim != 4 or tokens.shape[0] != batch or tokens.shape[-1] != self.width:
            raise SegtuneError(
                f"tokens have shape {tuple(tokens.shape)} but {batch} images and {self.name} need "
                f"(P, T, {self.width}) or ({batch}, P, T, {self.width})"
            )
        if not tokens.shape[1]:
            masks = 3 if multimask else 1
            empty = tokens.new_zeros(batch, 0, masks, 4 * height, 4 * width)
            return empty, empty.flatten(3).sum(-1)
        if replace_unstable is None:
            replace_unstable = not (torch.is_grad_enabled() and tokens.requires_grad)
        decoder, fixed = self._decoder(maps, multimask, replace_unstable)

        def masks_of(part: Tensor) -> tuple[Tensor, Tensor]:
            return decoder(sparse_prompt_embeddings=part, **fixed)[:2]

        parts = [
            checkpoint(masks_of, part, use_reentrant=False) if recompute else masks_of(part)
            for part in tokens.to(self.device).split(chunk, 1)
        ]
        return torch.cat([masks for masks, _ in parts], 1), torch.cat([iou for _, iou in parts], 1)

    def _decoder(
        self, maps: Mapping[str, Tensor], multimask: bool, replace_unstable: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the mask decoder and all of its arguments but the tokens."""
        batch = len(maps["image"])
        decoder = self.model.mask_decoder
        with torch.no_grad():
            positions = self.model.get_image_wide_positional_embeddings()
            _, no_mask = self.model.prompt_encoder(None, None, None, None)
        fixed: dict[str, Any] = {
            "image_embeddings": maps["image"],
            "image_positional_embeddings": positions.expand(batch, -1, -1, -1),
            "dense_prompt_embeddings": no_mask.expand(batch, -1, -1, -1),
            "multimask_output": multimask,
        }
        if "high0" in maps:
            fixed["high_resolution_features"] = [maps["high0"], maps["high1"]]
            if not replace_unstable:
                decoder = copy.copy(decoder)  # shares all weights; only the switch differs
                decoder.dynamic_multimask_via_stability = False
        return decoder, fixed

    @torch.no_grad()
    def proposals(
        self,
        features: Mapping[str, Tensor],
        *,
        grid: int = 32,
        geometry: Geometry | None = None,
        min_iou: float = 0.88,
        min_stability: float = 0.95,
        stability_offset: float = 1.0,
        max_overlap: float = 0.7,
        chunk: int = 64,
    ) -> list[Proposals]:
        """Returns masks of everything in each image: a grid of clicks, filtered (SAM, appendix B).

        Official defaults; unlike there, no zoomed crops, and near copies are found by the overlap
        of masks instead of boxes.

        Args:
            features: from `features`.
            grid: clicks per side.
            geometry: of the images; lays the grid over the image only, not over its padding.
            min_iou: masks below this expected overlap go.
            min_stability: masks go whose areas at plus and minus `stability_offset` logits differ
                by more, as a ratio.
            max_overlap: of two masks that overlap by more, the worse one goes.
        """
        points = grid_points(grid)
        if geometry is not None:
            points = points * torch.tensor(geometry.resized_size[::-1]) / self.input_size
        tokens = self.tokens_of_points(points[:, None])
        found = []
        for index in range(len(features["image"])):
            one = {key: value[index : index + 1] for key, value in features.items()}
            kept = []
            for part in tokens.split(chunk):
                masks, iou = self.decode(one, part, multimask=True, chunk=chunk)
                masks, iou = masks[0].flatten(0, 1), iou[0].flatten()  # (3P, h, w), (3P,)
                good = (iou >= min_iou) & (stability(masks, stability_offset) >= min_stability)
                kept.append((masks[good], iou[good]))
            masks, scores = (torch.cat(parts) for parts in zip(*kept, strict=True))
            best = mask_nms(masks > 0, scores, max_overlap)
            found.append(Proposals(masks[best], scores[best].clamp(0, 1)))
        return found


def grid_points(grid: int) -> Tensor:
    """Returns the (grid * grid, 2) centres (x, y) of a square grid of cells, 0..1, row by row.

    Example:
        >>> grid_points(2).tolist()
        [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    if grid < 1:
        raise SegtuneError(f"a grid needs at least one point per side, not {grid}")
    centres = (torch.arange(grid) + 0.5) / grid
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def stability(mask_logits: Tensor, offset: float = 1.0) -> Tensor:
    """Returns, per mask (..., h, w), its area above `offset` over its area above -`offset`."""
    strict = (mask_logits > offset).flatten(-2).sum(-1)
    loose = (mask_logits > -offset).flatten(-2).sum(-1)
    return strict / loose.clamp(min=1)
