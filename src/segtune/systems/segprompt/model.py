"""The three groups of queries of SegPrompt's training, in one pass through the decoder.

Zhu et al., ICCV 2023. Learned queries see only each other, so their answers are those of the plain
model, bit for bit; the two other groups are dropped after training (`strip_for_inference`).

Shape letters: B images, P prompt queries, E example queries, Q learned queries, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.ops.matched.mask_products import MaskProducts
from segtune.ops.set_loss import SetPrediction
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.prompts import SegPrompts

LEARNED, PROMPTS, EXAMPLES = range(3)


@dataclass(frozen=True)
class Answers:
    """What the groups say before the first layer and after every layer.

    Attributes:
        learned, prompts, examples: L + 1 predictions each.
        example_states: (B, E, C) after the last layer, before the last LayerNorm.
    """

    learned: list[SetPrediction]
    prompts: list[SetPrediction]
    examples: list[SetPrediction]
    example_states: Tensor


def query_groups(
    decoder: MaskedDecoder,
    prompts: SegPrompts,
    class_ids: Tensor,
    picks: Tensor,
    example_masks: Tensor | None,
    *,
    num_examples: int | None = None,
) -> list[QueryGroup]:
    """Returns the learned, prompt and example queries with who sees whom.

    Args:
        class_ids: (B, P) int64, of the prompt queries.
        picks: (P,) int64, see `SegPrompts.queries`.
        example_masks: (B, E, H, W), over the model input, positive inside; None where example
            queries look where they please.
        num_examples: E, where there are no masks.
    """
    config = prompts.config
    content, position = decoder.query_content, decoder.query_position
    learned = QueryGroup(content, position, sees=(PROMPTS, EXAMPLES) if config.all_see_all else ())
    asked = QueryGroup(
        *prompts.queries(class_ids, picks, content, position),
        blocked=group_attention_mask(config, class_ids.device),
        sees=prompts_see(config),
    )
    count = config.num_examples if num_examples is None else num_examples
    count = count if example_masks is None else example_masks.shape[1]
    nothing = content.new_zeros(len(class_ids), count, content.shape[1])
    sees = (LEARNED, PROMPTS) if config.all_see_all else ()
    shown = QueryGroup(nothing, nothing, regions=example_masks, sees=sees)
    return [learned, asked, shown]


def prompts_see(config: SegPromptConfig) -> tuple[int, ...]:
    """Returns which other groups prompt queries see."""
    if config.all_see_all:
        return (LEARNED, EXAMPLES)
    return () if config.independent else (LEARNED,)


def group_attention_mask(
    config: SegPromptConfig, device: torch.device | None = None
) -> Tensor | None:
    """Returns (P, P) bool, True where a prompt query does not see another; None where all do.

    Example:
        >>> config = SegPromptConfig(num_prompts=3, repeat=1)
        >>> group_attention_mask(config).int().tolist()
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    if not config.group_masks or config.all_see_all:
        return None
    group = torch.arange(config.num_prompts, device=device) // config.repeat
    return group[:, None] != group


class SegPrompt(nn.Module):
    """A masked-attention decoder in training with prompts.

    Args:
        decoder: of a Mask2Former.
        prompts: everything else that is learned.
    """

    def __init__(self, decoder: MaskedDecoder, prompts: SegPrompts) -> None:
        super().__init__()
        self.decoder, self.prompts = decoder, prompts

    def forward(
        self,
        memory: DecoderMemory,
        class_ids: Tensor,
        picks: Tensor,
        example_masks: Tensor | None,
    ) -> Answers:
        """Returns what all groups say; the cache stays as it is.

        Args:
            memory: of `decoder.prepare`.
            class_ids, picks, example_masks: see `query_groups`.
        """
        groups = query_groups(self.decoder, self.prompts, class_ids, picks, example_masks)
        learned, prompts, examples = self.decoder.run(memory, groups, keep_all=True)
        return Answers(
            supervised(self.decoder, memory, learned),
            supervised(self.decoder, memory, prompts, classifier=self.prompts.class_linear),
            supervised(self.decoder, memory, examples),
            examples[-1],
        )


def plain_answers(decoder: MaskedDecoder, memory: DecoderMemory) -> list[SetPrediction]:
    """Returns what the learned queries say without any other group, L + 1 predictions."""
    group = QueryGroup(decoder.query_content, decoder.query_position)
    return supervised(decoder, memory, decoder.run(memory, [group], keep_all=True)[0])


def supervised(
    decoder: MaskedDecoder,
    memory: DecoderMemory,
    states: list[Tensor],
    *,
    classifier: nn.Linear | None = None,
) -> list[SetPrediction]:
    """Returns what a loss compares: one prediction per state (B, Q, C), masks as products.

    Args:
        classifier: in place of that of the decoder.
    """
    found = []
    for state in states:
        class_logits, embeds = decoder.classes_and_embeds(state)
        if classifier is not None:
            class_logits = classifier(decoder.norm(state))
        found.append(SetPrediction(class_logits, MaskProducts(embeds, memory.mask_features)))
    return found
