"""SSPrompt on SAM 3: learned class tokens and learned object queries of a frozen model.

"Learning to Prompt Segment Anything Models", Huang et al., arXiv 2401.04651, carried over to SAM 3,
which the paper does not know. SAM 3 answers one word at a time, so K words are a batch of K:

- SemPrompt (equation 6): the token sequence of each class of the fit, fused token by token with
  the sequence of its name; all other words keep theirs;
- SpaPrompt (equation 4): the content of the object queries, their first boxes, or both.

Words are read as bare names: SAM 3 was trained on noun phrases, so templates play no part, and
`Words.embeds` is not looked at. Only vision features can be cached, because text enters the encoder
behind them.

Shape letters: B images, K classes, L tokens of a word, Q queries, D token width, h w mask grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from segtune.backbones.sam.sam3 import ConceptMasks, Sam3
from segtune.errors import SegtuneError
from segtune.ops.mask_targets import MaskTargets
from segtune.storage.recent import Recent
from segtune.systems.base import System, Targets, Words
from segtune.systems.ssprompt.fusion import FusedEmbeddings
from segtune.systems.ssprompt.prompts import rate_groups
from segtune.systems.ssprompt.sam_config import Sam3PromptConfig
from segtune.systems.ssprompt.sam_loss import matched_loss, pixel_loss
from segtune.types import Features, Geometry, MaskPrediction

CLASSES_AT_ONCE = 8
"""Classes that go through the model together."""
NAMES_KEPT = 4096
"""Names whose tokens are kept."""


class Sam3Prompts(nn.Module):
    """All that a prompted SAM 3 learns.

    Attributes:
        content: (Q, D) of the object queries.
        points: (Q, 4) first boxes of the object queries, logits of cxcywh.
        words: (sum of the lengths of the names, D), the tokens of all classes one after the other.

    Args:
        num_tokens: sum of the lengths of the names.
    """

    def __init__(self, config: Sam3PromptConfig, backbone: Sam3, num_tokens: int) -> None:
        super().__init__()
        self.content: FusedEmbeddings | None = None
        self.points: FusedEmbeddings | None = None
        self.words: FusedEmbeddings | None = None
        if config.spatial == "embeddings":
            if config.spatial_target in ("content", "both"):
                num_queries, width = backbone.query_content.shape
                self.content = FusedEmbeddings(num_queries, width, config)
            if config.spatial_target in ("position", "both"):
                num_queries, width = backbone.reference_points.shape
                self.points = FusedEmbeddings(num_queries, width, config)
        if config.semantic == "embeddings":
            self.words = FusedEmbeddings(num_tokens, backbone.width, config)


class PromptedSam3(System):
    """A frozen SAM 3 with learned class tokens, learned object queries, or both.

    Args:
        backbone: the frozen model; it needs a tokenizer.
        config: which prompts; see `segtune.systems.ssprompt.sam_config`.
        name: registry name of the preset, for tables and files.
        seed: of the initial prompts.

    Raises:
        WeightsError: classes are to be learned but there is no tokenizer for their names.

    Example:
        >>> import torch
        >>> from segtune.backbones.sam.random import random_sam3
        >>> from segtune.systems.ssprompt.sam_config import configure
        >>> sam = random_sam3()
        >>> system = PromptedSam3(sam, configure(Sam3PromptConfig, "spaprompt"), name="spaprompt")
        >>> system.num_learned()  # Q * D embeddings and Q weights
        198
    """

    backbone: Sam3
    prompts: Sam3Prompts
    config: Sam3PromptConfig

    def __init__(
        self, backbone: Sam3, config: Sam3PromptConfig, *, name: str = "ssprompt", seed: int = 0
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.backbone = backbone
        self._tokens: Recent[str, Tensor] = Recent(NAMES_KEPT)  # name -> (L, D)
        learns_words = config.semantic == "embeddings"
        default = self._fit_tokens() if learns_words else backbone.query_content[:0]
        self.prompts = Sam3Prompts(config, backbone, len(default)).to(backbone.device)
        generator = torch.Generator().manual_seed(seed)
        if self.prompts.content is not None:
            self.prompts.content.start(backbone.query_content, generator)
        if self.prompts.points is not None:
            self.prompts.points.start(backbone.reference_points, generator)
        if self.prompts.words is not None:
            self.prompts.words.start(default, generator.manual_seed(seed + 1))
        self.train(False)

    @property
    def stride(self) -> int:
        """One: the model resizes whatever it is given."""
        return self.backbone.patch_size

    @property
    def padding(self) -> tuple[float, float, float]:
        """The mean colour, which is zero inside of the model."""
        return self.backbone.normalisation.mean

    def encode(self, pixels: Tensor) -> Features:
        """Returns the vision features of (B, 3, H, W) pixels 0..255; no prompt touches them."""
        tensors = self.backbone.features(pixels)
        height, width = tensors["level0"].shape[-2:]
        return Features(tensors, (height, width))

    # -- words to tokens --------------------------------------------------------------------

    def text(self, words: Words) -> tuple[Tensor, Tensor]:
        """Returns the token sequences (K, L, D) of words, and which tokens are real, (K, L) bool.

        Words of the fit get their learned tokens (equation 7), all others keep the default ones.
        """
        if not words.names:
            raise SegtuneError(
                f"{self.backbone.name} reads the names of classes and these words have none; get "
                "them from Segmenter.words"
            )
        learned: dict[str, Tensor] = {}
        if self.prompts.words is not None and self.config.classes:
            lengths = [len(self._default(name)) for name in self.config.classes]
            rows = self.prompts.words(self._fit_tokens()).split(lengths)  # eq. 6
            learned = dict(zip(self.config.classes, rows, strict=True))
        sequences = [learned.get(name, self._default(name)) for name in words.names]
        counts = torch.tensor([len(tokens) for tokens in sequences], device=self.device)
        text = pad_sequence(sequences, batch_first=True)
        return text, torch.arange(text.shape[1], device=self.device) < counts[:, None]

    def _default(self, name: str) -> Tensor:
        """Returns the tokens of a name (L, D), z_T, and keeps them.

        Each name goes alone, so that its tokens are the same bit for bit in every vocabulary.
        """

        def read() -> Tensor:
            with torch.inference_mode(False), torch.no_grad():  # a loss may use them later
                return self.backbone.text_sequences([name])[0][0]

        return self._tokens.get(name, read).to(self.device)

    def _fit_tokens(self) -> Tensor:
        """Returns the default tokens of all classes of the fit in a row."""
        empty = torch.zeros(0, self.backbone.width, device=self.device)
        return torch.cat([empty, *map(self._default, self.config.classes)])

    # -- tokens to masks --------------------------------------------------------------------

    def queries(self) -> tuple[Tensor | None, Tensor | None]:
        """Returns content (Q, D) and first boxes (Q, 4) of the queries; None for the default."""
        content, points = self.prompts.content, self.prompts.points
        return (
            None if content is None else content(self.backbone.query_content),
            None if points is None else points(self.backbone.reference_points),
        )

    def answers(
        self,
        features: Features,
        words: Words,
        reduce: Callable[[ConceptMasks], tuple[Tensor, ...]],
    ) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """Yields class ids (c,) and what `reduce` makes of their masks, a few classes at a time.

        While training, the model runs again on the way back instead of holding activations.
        """
        text, mask = self.text(words)
        recompute = torch.is_grad_enabled() and self.num_learned() > 0

        def ask(
            tokens: Tensor, real: Tensor, content: Tensor | None, points: Tensor | None
        ) -> tuple[Tensor, ...]:
            found = self.backbone.decode(
                features.tensors,
                tokens,
                real,
                query_content=content,
                reference_points=points,
                chunk=len(tokens),
            )
            return reduce(found)

        for group, queries in self._groups(words):
            for ids in group.split(CLASSES_AT_ONCE):
                arguments = (text[ids], mask[ids], *queries)
                if recompute:
                    yield ids, checkpoint(ask, *arguments, use_reentrant=False)
                else:
                    yield ids, ask(*arguments)

    def _groups(self, words: Words) -> list[tuple[Tensor, tuple[Tensor | None, Tensor | None]]]:
        """Returns class ids with the queries that answer them.

        With `retain="exact"` the default queries answer the words outside of the fit.
        """
        ids = torch.arange(len(words.names), device=self.device)
        if self.config.retain == "shared" or self.config.spatial == "default":
            return [(ids, self.queries())]
        of_fit = torch.tensor([n in self.config.classes for n in words.names], device=self.device)
        groups = [(ids[of_fit], self.queries()), (ids[~of_fit], (None, None))]
        return [group for group in groups if len(group[0])]

    def pixel_logits(self, features: Features, words: Words) -> Tensor:
        """Returns (B, K, h, w), the logarithm of the class scores of every pixel.

        The score is the maximum (or the sum) over queries of match, presence and mask probability.
        """
        how = self.config.pixel_scores
        found = list(self.answers(features, words, lambda masks: (log_scores(masks, how),)))
        order = torch.cat([ids for ids, _ in found]).argsort()
        return torch.cat([planes for _, (planes,) in found], 1)[:, order]

    # -- answers ----------------------------------------------------------------------------

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns class scores per pixel or, for tasks other than semantic, the best masks."""
        if self.config.task == "semantic":
            planes = self.pixel_logits(features, words)
            pairs = zip(geometries, planes, strict=True)
            return [MaskPrediction(geometry, pixel_logits=logits) for geometry, logits in pairs]
        masks, class_logits = self._best_masks(features, words)
        return [
            MaskPrediction(geometry, mask_logits=masks[i], class_logits=class_logits[i])
            for i, geometry in enumerate(geometries)
        ]

    def _best_masks(self, features: Features, words: Words) -> tuple[Tensor, Tensor]:
        """Returns the best masks (B, N, h, w) over all classes and their class logits.

        Every mask answers with the class that it was asked for, or with none: of its (K + 1) logits
        two are finite.
        """
        best: tuple[Tensor, ...] = ()
        for ids, (masks, logits) in self.answers(features, words, _masks_and_logits):
            owners = ids.repeat_interleave(masks.shape[2]).expand(len(masks), -1)
            part = (masks.flatten(1, 2), logits.flatten(1), owners)
            every = [torch.cat(pair, 1) for pair in zip(best, part, strict=True)] if best else part
            count = min(self.config.kept_masks, every[1].shape[1])
            top = every[1].topk(count, 1).indices  # (B, N)
            rows = torch.arange(len(top), device=top.device)[:, None]
            best = tuple(values[rows, top] for values in every)
        masks, logits, owners = best
        class_logits = logits.new_full((*owners.shape, len(words.names) + 1), -torch.inf)
        class_logits[..., -1] = 0
        return masks, class_logits.scatter(2, owners[..., None], logits[..., None])

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Returns the losses of a batch (equation 9).

        Semantic: the cross-entropy of class scores, normalised over the words. Other tasks: every
        class of every image is matched on its own, because SAM 3 is asked for each on its own.
        """
        if self.config.task == "semantic":
            return {"loss_ce": pixel_loss(self.pixel_logits(features, words), targets.semantic)}
        found = list(self.answers(features, words, _masks_and_logits))
        order = torch.cat([ids for ids, _ in found]).argsort()
        masks = torch.cat([part for _, (part, _) in found], 1)[:, order]  # (B, K, Q, h, w)
        logits = torch.cat([part for _, (_, part) in found], 1)[:, order]  # (B, K, Q)
        objects = [_of_class(each, k) for each in targets.masks for k in range(len(words.names))]
        class_logits = torch.stack([logits, torch.zeros_like(logits)], -1)
        return matched_loss(class_logits.flatten(0, 1), masks.flatten(0, 1), objects, self.config)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, object]]:
        """Returns one group for each kind of prompt, with its own rate."""
        config = self.config
        parts = [
            (self.prompts.content, config.spatial_lr_factor),
            (self.prompts.points, config.spatial_lr_factor),
            (self.prompts.words, config.semantic_lr_factor),
        ]
        return rate_groups(parts, lr, weight_decay)


def log_scores(found: ConceptMasks, how: str) -> Tensor:
    """Returns (B, K, h, w), the logarithm of `found.pixel_scores(how)`, without underflow."""
    planes = F.logsigmoid(found.mask_logits.float()) + _log_matches(found)[..., None, None]
    return planes.amax(2) if how == "max" else planes.logsumexp(2)


def _log_matches(found: ConceptMasks) -> Tensor:
    """Returns (B, K, Q), the logarithm of match times presence."""
    presence = F.logsigmoid(found.presence_logits.float())
    return F.logsigmoid(found.score_logits.float()) + presence[..., None]


def _masks_and_logits(found: ConceptMasks) -> tuple[Tensor, Tensor]:
    """Returns mask logits (B, K, Q, h, w) and the logits (B, K, Q) of match times presence."""
    log_probs = _log_matches(found).clamp(max=-1e-6)
    return found.mask_logits.float(), log_probs - (-log_probs.expm1()).log()


def _of_class(objects: MaskTargets, class_id: int) -> MaskTargets:
    """Returns the objects of one class, as class 0."""
    mine = objects.class_ids == class_id
    return MaskTargets(objects.class_ids[mine] * 0, objects.masks[mine])
