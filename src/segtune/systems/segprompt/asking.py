"""Asking a trained SegPrompt for all objects of one kind: by a cached prompt, or by examples of it.

Zhu et al., ICCV 2023, train prompt and example queries and drop both after training; asking with
them is no published method, and experimental here. An example query looks inside a mask; its final
state, as the row of a cache, is a prompt that finds such objects in another image. The answers of
prompts are too sure, so what was found is looked at by example queries in turn: the more alike
their states and those of the examples are, the higher the score. That, and without class
embedding, is what was best on `val` of `synthetic:longtail`.

Shape letters: N masks, S examples, R queries of a prompt, C width of the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.prompting import ObjectMasks
from segtune.ops.duplicates import similar_masks
from segtune.systems.segprompt.prompts import SegPrompts

EMPTY_SLOTS = 4
"""Slots without an example beside each one, as there are in training."""
LIKENESS = 4
"""Power of (1 + cosine) / 2 in the score."""
SAME_IOU = 0.5
"""Of two masks that overlap by this much, the better one is kept."""


@torch.no_grad()
def example_states(decoder: MaskedDecoder, memory: DecoderMemory, masks: Tensor) -> Tensor:
    """Returns the final states (N, C) of example queries, each of which looks inside one mask.

    Args:
        memory: of one image.
        masks: (N, H, W) bool, over the model input.
    """
    count, slots = len(masks), 1 + EMPTY_SLOTS
    regions = masks.new_zeros((count, slots, *masks.shape[1:]), dtype=torch.float32)
    regions[:, 0] = masks
    nothing = decoder.query_content.new_zeros(count, slots, decoder.query_content.shape[1])
    group = QueryGroup(nothing, nothing, regions=regions)
    return decoder.run(memory.rows([0] * count), [group])[0][-1][:, 0]


@torch.no_grad()
def cached_prompt(decoder: MaskedDecoder, prompts: SegPrompts, row: int) -> tuple[Tensor, Tensor]:
    """Returns content and position (R, C) of the prompt of a class of the training.

    Where training adds some of the learned queries, drawn anew in every step, all are added.
    """
    picks, count = _additions(decoder, prompts)
    ids = torch.full((1, count), row, device=picks.device)
    content, position = prompts.queries(ids, picks, decoder.query_content, decoder.query_position)
    return content[0], position[0]


@torch.no_grad()
def example_prompt(
    decoder: MaskedDecoder, prompts: SegPrompts, examples: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns content and position (R, C) of the prompt whose cache row is the mean of examples.

    It has no class embedding; those are learned for each class.

    Args:
        examples: (S, C), states; see `example_states`.
    """
    picks, count = _additions(decoder, prompts)
    rows = examples.mean(0).expand(1, count, -1)
    queries = (decoder.query_content, decoder.query_position)
    content, position = prompts.of_rows(rows, None, picks, *queries)
    return content[0], position[0]


@torch.no_grad()
def find(
    decoder: MaskedDecoder,
    memory: DecoderMemory,
    prompt: tuple[Tensor, Tensor],
    examples: Tensor,
    *,
    classifier: nn.Linear | None = None,
) -> ObjectMasks:
    """Returns the masks that a prompt finds in one image, best first, each once.

    The quality of a mask is the probability of "object" times a power of (1 + cosine) / 2, of
    states after the LayerNorm, with the nearest example.

    Args:
        memory: of one image.
        prompt: content and position (R, C).
        examples: (S, C), states that the prompt stands for, or the row of the cache.
        classifier: of prompts, in place of that of the decoder.
    """
    learned = QueryGroup(decoder.query_content, decoder.query_position)
    asked = QueryGroup(prompt[0][None], prompt[1][None], sees=(0,))
    answer = decoder.answer(memory, [learned, asked])[1]
    logits = answer.class_logits if classifier is None else classifier(decoder.norm(answer.states))
    assert logits is not None
    masks = answer.mask_logits[0].float()
    inside = F.interpolate(masks[None], scale_factor=4, mode="bilinear")[0] > 0
    states = decoder.norm(example_states(decoder, memory, inside))
    cosines = F.normalize(states, dim=-1) @ F.normalize(decoder.norm(examples), dim=-1).T
    scores = logits[0].float().softmax(-1)[:, 0] * ((1 + cosines.amax(1)) / 2) ** LIKENESS
    order = scores.argsort(descending=True)
    order = order[inside[order].flatten(1).any(1)]
    leaders = similar_masks(inside[order], SAME_IOU)
    kept = order[leaders == torch.arange(len(order), device=leaders.device)]
    return ObjectMasks(masks[kept], qualities=scores[kept])


def _additions(decoder: MaskedDecoder, prompts: SegPrompts) -> tuple[Tensor, int]:
    """Returns which learned queries or own additions are added to a prompt, and its R."""
    config, num_queries = prompts.config, len(decoder.query_content)
    total = config.repeat if config.own_repeats else num_queries * (config.repeat > 1)
    return torch.arange(total, device=decoder.query_content.device), max(total, 1)
