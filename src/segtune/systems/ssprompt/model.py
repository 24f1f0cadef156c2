"""SSPrompt and its baselines: a frozen SEEM that answers with learned prompts.

"Learning to Prompt Segment Anything Models", Huang et al., arXiv 2401.04651. Reading order:
`config` (which prompts), `fusion` (equations 4 and 6), `prompts`, and `forward` here. Everything
before the first learned number is computed in `encode`, once per image: the pyramid and the mask
features, or, where only class embeddings are learned, the answers of the decoder themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.prompting import Looked
from segtune.backbones.seem.look import LookedSeem
from segtune.backbones.seem.model import Seem
from segtune.errors import SegtuneError
from segtune.systems.base import System, Targets, Words
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.loss import losses
from segtune.systems.ssprompt.prompts import (
    LearnedPrompts,
    PointGrid,
    SemanticPrompt,
    SpatialPrompt,
    rate_groups,
)
from segtune.types import Features, Geometry, MaskPrediction, SumAtOriginal


@dataclass(frozen=True)
class Answers:
    """What the queries answer, before they meet the words.

    Attributes:
        class_embeds: (B, Q, k), compared with the class embeddings.
        mask_logits: (B, Q, h, w), unbounded.
    """

    class_embeds: Tensor
    mask_logits: Tensor


class PromptedSeem(System):
    """A frozen SEEM with learned query embeddings, class embeddings, or both.

    Args:
        backbone: the frozen model.
        config: which prompts; see `segtune.systems.ssprompt.config`.
        name: registry name of the preset, for tables and files.
        seed: of the initial prompts.

    Example:
        >>> import torch
        >>> from segtune.backbones.seem.model import random_seem
        >>> from segtune.systems.base import Words
        >>> from segtune.systems.ssprompt.config import SSPROMPT
        >>> from segtune.systems.ssprompt.model import PromptedSeem
        >>> system = PromptedSeem(random_seem(), SSPROMPT)
        >>> features = system.encode(torch.zeros(1, 3, 64, 64))
        >>> words = Words(torch.randn(7, 16), background=torch.randn(16))
        >>> answers = system(features)
        >>> system.classify(answers, words).shape
        torch.Size([1, 6, 8])
    """

    backbone: Seem
    prompts: LearnedPrompts
    config: SSPromptConfig

    def __init__(
        self, backbone: Seem, config: SSPromptConfig, *, name: str = "ssprompt", seed: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.backbone = backbone
        self.prompts = LearnedPrompts(config, backbone).to(backbone.device)
        self._start_spatial(seed)
        self.train(False)

    @property
    def stride(self) -> int:
        """The coarsest level of the pyramid."""
        return self.backbone.patch_size

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour of the model: zero once normalised, as in the official code."""
        return self.backbone.normalisation.mean

    def _start_spatial(self, seed: int) -> None:
        if isinstance(self.prompts.spatial, SpatialPrompt):
            generator = torch.Generator().manual_seed(seed)
            defaults = self.backbone.default_content, self.backbone.default_position
            self.prompts.spatial.start(*defaults, generator)

    def start(self, words: Words, *, seed: int) -> None:
        """Sets the learned class embeddings for the default ones of the fit."""
        if self.prompts.semantic is None:
            return
        generator = torch.Generator().manual_seed(seed + 1)
        rows = self._rows(words)
        if len(rows) < len(self.config.classes):
            missing = [c for c in self.config.classes if c not in words.names]
            raise SegtuneError(f"the words of the fit lack {', '.join(missing)}")
        default = words.embeds[list(rows.values())]
        self.prompts.semantic.start(default, _background(words), generator)

    def encoding(self) -> dict[str, Any]:
        """Returns which of the two kinds of features `encode` gives."""
        return {"system": "ssprompt", "memory": self._needs_memory, "answers": self._needs_answers}

    @property
    def _needs_memory(self) -> bool:
        return self.prompts.spatial is not None

    @property
    def _needs_answers(self) -> bool:
        return self.prompts.spatial is None or self.config.retain == "exact"

    def encode(self, pixels: Tensor) -> Features:
        """Returns what lies upstream of the prompts, of (B, 3, H, W) pixels 0..255."""
        with torch.no_grad():
            return self._encoded(self.backbone.decoder.prepare(*self.backbone.features(pixels)))

    def features_of(self, looked: Looked) -> Features:
        """Returns what `encode` gives for an image that the model has looked at already."""
        assert isinstance(looked, LookedSeem)
        return self._encoded(looked.memory)

    def _encoded(self, memory: DecoderMemory) -> Features:
        with torch.no_grad():
            grid = (memory.mask_features.shape[-2], memory.mask_features.shape[-1])
            tensors: dict[str, Tensor] = {}
            if self._needs_memory:
                tensors |= memory.tensors()
            if self._needs_answers:
                default = _answers(self.backbone.decoder(memory, *self._default_queries()))
                tensors["class_embeds"] = default.class_embeds
                tensors["mask_logits"] = default.mask_logits
        return Features(tensors, grid)

    def _default_queries(self) -> tuple[Tensor, Tensor]:
        return self.backbone.default_content, self.backbone.default_position

    def default_answers(self, features: Features) -> Answers:
        """Returns the answers of the default queries, computed by `encode`."""
        return Answers(features.tensors["class_embeds"], features.tensors["mask_logits"])

    def forward(self, features: Features) -> Answers:
        """Returns the answers of the queries that the prompts ask (equation 5)."""
        return self.heads(features)[-1]

    def heads(self, features: Features) -> list[Answers]:
        """Returns the answers of every supervised head, the final one last."""
        spatial = self.prompts.spatial
        if spatial is None:
            return [self.default_answers(features)]
        memory = DecoderMemory.from_tensors(features.tensors)
        if isinstance(spatial, PointGrid):
            output = self.backbone.ask_points(
                memory, spatial(), num_copies=self.config.point_copies
            )
        else:
            output = self.backbone.decoder(
                memory,
                *spatial(*self._default_queries()),
                deep_supervision=self.config.deep_supervision and self.prompts.training,
            )
        return [_answers(head) for head in (*output.aux, output)]

    def class_embeds(self, words: Words) -> Tensor:
        """Returns the class embeddings (K + 1, k), background last (equation 7).

        Words of the fit get their learned row, all others keep the default one.
        """
        background = _background(words)
        table = words.embeds
        semantic = self.prompts.semantic
        if semantic is not None:
            rows = self._rows(words)
            if isinstance(semantic, SemanticPrompt):
                default = semantic.fused.embeds.detach().clone()
                default[list(rows)] = table[list(rows.values())].to(default)
                learned, background = semantic(default, background)
            else:
                learned = semantic(self.backbone)
            if rows:
                places = torch.tensor(list(rows.values()), device=table.device)
                table = table.to(learned).index_copy(0, places, learned[list(rows)])
        return torch.cat([table, background[None].to(table)])

    def _rows(self, words: Words) -> dict[int, int]:
        """Returns learned row -> index of the word, for the words of the fit among these."""
        at = {name: index for index, name in enumerate(words.names)}
        return {row: at[name] for row, name in enumerate(self.config.classes) if name in at}

    def classify(self, answers: Answers, words: Words) -> Tensor:
        """Returns the class logits (B, Q, K + 1) of answers, background last."""
        return self.backbone.decoder.classify(answers.class_embeds, self.class_embeds(words))

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns mask predictions, one per image.

        With `retain="exact"` the default queries answer the words outside of the fit and the
        learned ones those of the fit; neither group sees the other.
        """
        answers = self(features)
        class_logits = self.classify(answers, words)
        masks = answers.mask_logits
        allowed: Tensor | None = None
        if self.config.retain == "exact" and self.num_learned() > 0:
            default = self.default_answers(features)
            table = torch.cat([words.embeds, _background(words)[None].to(words.embeds)])
            default_logits = self.backbone.decoder.classify(default.class_embeds, table)
            of_fit = torch.zeros(len(words.embeds), dtype=torch.bool, device=masks.device)
            of_fit[list(self._rows(words).values())] = True
            if not of_fit.any():
                class_logits, masks = default_logits, default.mask_logits
            elif not of_fit.all():
                per_group = torch.stack([of_fit, ~of_fit])
                counts = torch.tensor([masks.shape[1], default.mask_logits.shape[1]])
                allowed = per_group.repeat_interleave(counts.to(masks.device), 0)
                class_logits = torch.cat([class_logits, default_logits], 1)
                masks = torch.cat([masks, default.mask_logits], 1)
        return [
            MaskPrediction(
                geometry,
                mask_logits=masks[i],
                class_logits=class_logits[i],
                decision=SumAtOriginal(self.backbone.mask_resize, allowed),
            )
            for i, geometry in enumerate(geometries)
        ]

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns the losses of a batch (equation 9)."""
        table = self.class_embeds(words)
        classify = self.backbone.decoder.classify
        heads = [
            (classify(answers.class_embeds, table), answers.mask_logits)
            for answers in self.heads(features)
        ]
        found = losses(heads, targets, self.config)
        if self.config.pull:
            moved = table[:-1] - words.embeds.to(table)
            found["loss_pull"] = self.config.pull / 2 * moved.square().sum()
        return found

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, object]]:
        """Returns one group for each kind of prompt, with its own rate."""
        return rate_groups(self.prompts.rates(self.config), lr, weight_decay)


def _answers(output: DecoderOutput) -> Answers:
    assert output.class_embeds is not None
    return Answers(output.class_embeds, output.mask_logits)


def _background(words: Words) -> Tensor:
    if words.background is None:
        raise SegtuneError(
            "these words have no embedding of the background; get them from Segmenter.words"
        )
    return words.background
