"""SSPrompt on SAM and SAM 2: learned prompt tokens in front of the frozen mask decoder.

"Learning to Prompt Segment Anything Models", Huang et al., arXiv 2401.04651. SAM has no text
encoder: a prompt gives a mask and its expected quality, never a name. So

- without class tokens (zero-shot, SpaPrompt, VSPL) it learns and answers masks of *something*; the
  vocabulary is one word, such as "object", and label maps or objects of any classes teach it
  where regions end;
- class tokens (SemPrompt) are OUR extension: one prompt per class of the fit, whose mask is the
  map of that class. They name the classes of the fit and no others;
- with both (SSPrompt), the masks of the spatial prompts get the mean of the class maps inside of
  them as their name.

The masks of SAM lie over its own input, to which it resizes whatever it is given; `frame` says how
they return to the original image. Left out: three masks per prompt, mask prompts, words.

Shape letters: B images, N spatial prompts, K classes, T tokens of a class, D token width, h w mask
grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.sam.model import Sam
from segtune.errors import SegtuneError
from segtune.ops.mask_targets import targets_from_semantic
from segtune.ops.semantic_loss import nearest_labels, semantic_loss
from segtune.systems.base import System, Targets, Words
from segtune.systems.ssprompt.fusion import FusedEmbeddings
from segtune.systems.ssprompt.prompts import PointGrid, rate_groups
from segtune.systems.ssprompt.sam_config import SamPromptConfig
from segtune.systems.ssprompt.sam_loss import matched_loss, pixel_loss
from segtune.systems.ssprompt.sam_masks import name_masks, quality_logits, without_names
from segtune.types import IGNORE, Features, Geometry, MaskPrediction


class SamPrompts(nn.Module):
    """All that a prompted SAM learns.

    Attributes:
        spatial: (N, D) tokens of the spatial prompts, or the places of their clicks (VSPL).
        classes: (K * T, D) tokens of the classes.
    """

    def __init__(self, config: SamPromptConfig, width: int) -> None:
        super().__init__()
        self.spatial: FusedEmbeddings | PointGrid | None = None
        self.classes: FusedEmbeddings | None = None
        if config.spatial == "embeddings":
            self.spatial = FusedEmbeddings(config.point_grid**2, width, config)
        elif config.spatial == "points":
            self.spatial = PointGrid(config.point_grid)
        if config.semantic == "embeddings":
            count = len(config.classes) * config.class_tokens
            self.classes = FusedEmbeddings(count, width, config)


class PromptedSam(System):
    """A frozen SAM or SAM 2 with learned spatial prompts, class tokens, or both.

    Args:
        backbone: the frozen model.
        config: which prompts; see `segtune.systems.ssprompt.sam_config`.
        name: registry name of the preset, for tables and files.
        seed: of the initial prompts.

    Example:
        >>> import torch
        >>> from segtune.backbones.sam.random import random_sam
        >>> from segtune.systems.base import Words
        >>> from segtune.systems.ssprompt.sam_config import configure
        >>> config = configure(SamPromptConfig, "semprompt", {"classes": ("road", "car")})
        >>> system = PromptedSam(random_sam(), config, name="semprompt")
        >>> features = system.encode(torch.zeros(1, 3, 48, 64))
        >>> system.class_maps(features, Words(torch.ones(1, 1), names=("car",))).shape
        torch.Size([1, 1, 32, 32])
    """

    backbone: Sam
    prompts: SamPrompts
    config: SamPromptConfig
    default_tokens: Tensor  # (N, 2, D): z_S, and the padding token of the model
    default_classes: Tensor  # (T, D)

    def __init__(
        self, backbone: Sam, config: SamPromptConfig, *, name: str = "ssprompt", seed: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.backbone = backbone
        tokens = backbone.default_tokens(config.point_grid)
        self.register_buffer("default_tokens", tokens, persistent=False)
        # The mean grid token; several are means of interleaved parts of the grid, because equal
        # tokens have equal gradients and would stay equal for ever.
        means = [tokens[t :: config.class_tokens, 0].mean(0) for t in range(config.class_tokens)]
        self.register_buffer("default_classes", torch.stack(means), persistent=False)
        self.prompts = SamPrompts(config, backbone.width).to(backbone.device)
        self._start(seed)
        self.train(False)

    def _start(self, seed: int) -> None:
        """Sets the learned tokens for the default ones."""
        if isinstance(self.prompts.spatial, FusedEmbeddings):
            generator = torch.Generator().manual_seed(seed)
            self.prompts.spatial.start(self.default_tokens[:, 0], generator)
        if self.prompts.classes is not None:
            generator = torch.Generator().manual_seed(seed + 1)
            self.prompts.classes.start(self._every_class(), generator)

    def start(self, words: Words, *, seed: int) -> None:
        """Checks that the words of the fit are those of the class tokens; all else is set."""
        if self.prompts.classes is not None:
            self._rows(words)

    @property
    def stride(self) -> int:
        """One: the model resizes whatever it is given."""
        return self.backbone.patch_size

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, which is zero inside of the model."""
        return self.backbone.normalisation.mean

    def encode(self, pixels: Tensor) -> Features:
        """Returns the image features of (B, 3, H, W) pixels 0..255; no prompt touches them."""
        tensors = self.backbone.features(pixels)
        height, width = tensors["image"].shape[-2:]
        return Features(tensors, (height, width))

    def frame(self, geometry: Geometry) -> Geometry:
        """Returns the way from the mask grid back to the original image.

        `geometry` ends at the input of the system, the masks lie over the input of SAM, which is
        that one resized to a longer side of `input_size` and padded. Where SAM does not pad, the
        masks cover the input of the system, and `geometry` already is the way.
        """
        inner = self.backbone.geometry(*geometry.input_size)
        if inner.resized_size == inner.input_size:
            return geometry
        height, width = (
            max(round(side * new / old), 1)
            for side, new, old in zip(
                geometry.resized_size, inner.resized_size, inner.original_size, strict=True
            )
        )
        return Geometry(geometry.original_size, (height, width), inner.input_size)

    # -- prompts to masks -------------------------------------------------------------------

    def spatial_tokens(self) -> Tensor:
        """Returns the spatial prompts (N, 2, D), fused tokens before padding tokens (eq. 4)."""
        spatial, default = self.prompts.spatial, self.default_tokens
        if isinstance(spatial, PointGrid):
            return self.backbone.tokens_of_points(spatial()[:, None])
        if spatial is None:
            return default
        return torch.cat([spatial(default[:, 0])[:, None], default[:, 1:]], 1)

    def region_masks(self, features: Features) -> tuple[Tensor, Tensor]:
        """Returns mask logits (B, N, h, w) of the spatial prompts and their qualities (B, N)."""
        return self._decode(features, self.spatial_tokens())

    def class_maps(self, features: Features, words: Words) -> Tensor:
        """Returns (B, K, h, w) logits of the words, all of which must be of the fit."""
        assert self.prompts.classes is not None
        tokens = self.prompts.classes(self._every_class()).unflatten(
            0, (-1, self.config.class_tokens)
        )[self._rows(words)]  # (K, T, D)
        padding = self.default_tokens[:1, 1:].expand(len(tokens), -1, -1)
        return self._decode(features, torch.cat([tokens, padding], 1))[0]

    def _decode(self, features: Features, tokens: Tensor) -> tuple[Tensor, Tensor]:
        masks, quality = self.backbone.decode(
            features.tensors,
            tokens,
            replace_unstable=False,  # what is trained is what answers
            recompute=torch.is_grad_enabled() and tokens.requires_grad,
        )
        return masks[:, :, 0].float(), quality[..., 0].float().clamp(1e-4, 1 - 1e-4)

    def _every_class(self) -> Tensor:
        """Returns the default class tokens (K * T, D)."""
        return self.default_classes.repeat(len(self.config.classes), 1)

    def _rows(self, words: Words) -> list[int]:
        """Returns the class of the fit that each word is."""
        at = {name: row for row, name in enumerate(self.config.classes)}
        unknown = [name for name in words.names if name not in at]
        if unknown or not words.names:
            raise SegtuneError(
                f"{self.backbone.name} has no text encoder and knows only the classes of the fit ("
                f"{_listed(self.config.classes) or 'none'}), not {_listed(unknown) or 'these'}; "
                "ask for those, or use a model that reads words, such as SAM 3 or SEEM"
            )
        return [at[name] for name in words.names]

    # -- answers ----------------------------------------------------------------------------

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns class maps (SemPrompt) or masks, one prediction per image.

        Raises:
            SegtuneError: words outside of the fit, or more than one without class tokens.
        """
        frames = [self.frame(geometry) for geometry in geometries]
        if self.prompts.classes is None:
            self._refuse_names(words)
            masks, quality = self.region_masks(features)
            found = zip(frames, masks, quality, strict=True)
            return [without_names(frame, *parts) for frame, *parts in found]
        maps = self.class_maps(features, words)
        if self.prompts.spatial is None:
            return [MaskPrediction(f, pixel_logits=m) for f, m in zip(frames, maps, strict=True)]
        masks, quality = self.region_masks(features)
        class_logits = name_masks(masks, quality, maps)
        return [
            MaskPrediction(frame, mask_logits=masks[i], class_logits=class_logits[i])
            for i, frame in enumerate(frames)
        ]

    def _refuse_names(self, words: Words) -> None:
        if len(words.embeds) != 1:
            raise SegtuneError(
                f"{self.backbone.name} has no text encoder and cannot tell {_listed(words.names)} "
                f'apart; {self.name} finds masks of one word, such as "object" (task=instance), '
                "semprompt and ssprompt learn the classes of a fit"
            )

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns the losses of a batch (equation 9).

        "loss_map" is a cross-entropy on the class maps. Masks without names are matched to regions
        or objects of one class; named ones go through the losses of SSPrompt on SEEM.
        """
        targets = self._in_frame(targets)
        losses: dict[str, Tensor] = {}
        semantic = self.config.task == "semantic"
        if self.prompts.classes is not None:
            maps = self.class_maps(features, words)
            losses["loss_map"] = pixel_loss(maps, targets.semantic)
            if self.prompts.spatial is None:
                return losses
        masks, quality = self.region_masks(features)
        if self.prompts.classes is not None:
            class_logits = name_masks(masks, quality, maps)
            if semantic:
                form = self.config.semantic_loss
                loss = semantic_loss(class_logits, masks, targets.semantic, form=form)
                return losses | {"loss_ce": loss}
            return losses | matched_loss(class_logits, masks, targets.masks, self.config)
        regions = targets_from_semantic(targets.semantic) if semantic else targets.masks
        unnamed = [replace(each, class_ids=each.class_ids * 0) for each in regions]
        return matched_loss(quality_logits(quality), masks, unnamed, self.config)

    def _in_frame(self, targets: Targets) -> Targets:
        """Returns targets over the input of the system as targets over the input of SAM."""
        height, width = targets.semantic.shape[-2:]
        inner = self.backbone.geometry(height, width)
        if inner.resized_size == inner.input_size:
            return targets
        new_height, new_width = inner.resized_size
        edge = (0, inner.input_size[1] - new_width, 0, inner.input_size[0] - new_height)
        labels = nearest_labels(targets.semantic, inner.resized_size)
        masks = [
            replace(each, masks=F.pad(nearest_labels(each.masks, inner.resized_size), edge))
            for each in targets.masks
        ]
        return replace(targets, semantic=F.pad(labels, edge, value=IGNORE), masks=masks)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, object]]:
        """Returns one group for each kind of prompt, with its own rate."""
        config = self.config
        parts = [
            (self.prompts.spatial, config.spatial_lr_factor),
            (self.prompts.classes, config.semantic_lr_factor),
        ]
        return rate_groups(parts, lr, weight_decay)


def _listed(names: Sequence[str]) -> str:
    """Returns the first names of a list, for messages."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
