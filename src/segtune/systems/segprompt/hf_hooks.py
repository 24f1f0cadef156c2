"""SegPrompt's queries on a `Mask2FormerForUniversalSegmentation` of transformers, by hooks.

For users who hold such a model already and want to train it as it is. `SegPrompt` on a
`Mask2Former` of ours is faster, and both can be converted (`backbones.mask2former.hf`). Hooks hang
on the model during a call alone; they do not survive compilation or export. The self-attention of
transformers takes an additive mask for every head, (B * heads, N, N) floats. What prompts and
examples are moves no bit of what learned queries answer; that they are there may, because products
of other shapes are summed in another order.

Shape letters: B images, Q learned queries, P prompt queries, E example queries, N = Q + P + E, C
width, L decoder layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from segtune.backbones.decoders.mask_head import resized
from segtune.errors import SegtuneError
from segtune.ops.set_loss import SetPrediction
from segtune.systems.segprompt.model import (
    EXAMPLES,
    LEARNED,
    PROMPTS,
    Answers,
    group_attention_mask,
    prompts_see,
)
from segtune.systems.segprompt.prompts import SegPrompts


class HookedSegPrompt(nn.Module):
    """A model of transformers in training with prompts.

    Args:
        model: a `Mask2FormerForUniversalSegmentation`; its weights stay where they are.
        prompts: everything else that is learned, of the width of its decoder.

    Raises:
        SegtuneError: the width differs.
    """

    def __init__(self, model: Any, prompts: SegPrompts) -> None:
        super().__init__()
        self.model, self.prompts = model, prompts
        width, own = model.config.hidden_dim, prompts.cache.rows.shape[1]
        if width != own:
            raise SegtuneError(
                f"prompts of width {own} do not fit a decoder of width {width}; make them with "
                f"SegPrompts(config, num_classes=..., width={width})"
            )

    def forward(
        self,
        pixel_values: Tensor,
        class_ids: Tensor,
        picks: Tensor,
        example_masks: Tensor | None,
    ) -> Answers:
        """Returns what all groups say; see `SegPrompt`, whose losses take it.

        Args:
            pixel_values: (B, 3, H, W), normalised as transformers does it.
            class_ids, picks, example_masks: see `segtune.systems.segprompt.model.query_groups`.
        """
        module = self.model.model.transformer_module
        queries = (module.queries_features.weight, module.queries_embedder.weight)
        content, position = self.prompts.queries(class_ids, picks, *queries)
        count = self.prompts.config.num_examples
        count = count if example_masks is None else example_masks.shape[1]
        empty = content.new_zeros(len(content), count, content.shape[2])
        added = (torch.cat([content, empty], 1), torch.cat([position, empty], 1))
        seen: list[Any] = []
        with _hooks(self.model, self._blocked(len(queries[0]), count), added, example_masks, seen):
            self.model(pixel_values=pixel_values)
        return self._answers(seen[0], len(queries[0]), content.shape[1])

    def _blocked(self, num_queries: int, num_examples: int) -> Tensor:
        """Returns (N, N) bool, True where a query does not see another."""
        config = self.prompts.config
        sizes = (num_queries, config.num_prompts, num_examples)
        group = torch.arange(3).repeat_interleave(torch.tensor(sizes))
        blocked = group[:, None] != group
        if config.all_see_all:
            blocked[:] = False
        for other in prompts_see(config):
            blocked[(group == PROMPTS)[:, None] & (group == other)] = False
        among = group_attention_mask(config)
        if among is not None:
            start = num_queries
            blocked[start : start + len(among), start : start + len(among)] = among
        return blocked.to(self.prompts.cache.rows.device)

    def _answers(self, output: Any, num_queries: int, num_prompts: int) -> Answers:
        """Returns what a decoder of transformers said, by group."""
        ends = (num_queries, num_queries + num_prompts)
        parts = {
            LEARNED: slice(0, ends[0]),
            PROMPTS: slice(*ends),
            EXAMPLES: slice(ends[1], None),
        }
        found: dict[int, list[SetPrediction]] = {name: [] for name in parts}
        states = output.intermediate_hidden_states
        for state, masks in zip(states, output.masks_queries_logits, strict=True):
            normed = state.transpose(0, 1)  # (B, N, C)
            for name, rows in parts.items():
                own = self.prompts.class_linear if name == PROMPTS else None
                classifier = self.model.class_predictor if own is None else own
                found[name].append(SetPrediction(classifier(normed[:, rows]), masks[:, rows]))
        return Answers(
            found[LEARNED],
            found[PROMPTS],
            found[EXAMPLES],
            output.last_hidden_state[:, parts[EXAMPLES]],
        )


@contextmanager
def _hooks(
    model: Any,
    blocked: Tensor,
    added: tuple[Tensor, Tensor],
    example_masks: Tensor | None,
    seen: list[Any],
) -> Iterator[None]:
    """Hangs hooks on a model for a call.

    Args:
        blocked: (N, N) bool, True where a query does not see another.
        added: content and position (B, P + E, C) of the queries behind the learned ones.
        example_masks: (B, E, H, W); see `query_groups`.
        seen: takes what the decoder returns.
    """
    decoder, heads = model.model.transformer_module.decoder, model.config.num_attention_heads
    additive = blocked.float().masked_fill(blocked, -torch.inf)
    additive = additive.expand(len(added[0]) * heads, -1, -1)

    def with_queries(_: Any, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
        for name, extra in zip(("inputs_embeds", "query_position_embeddings"), added, strict=True):
            values[name] = torch.cat([values[name], extra.transpose(0, 1)])
        return args, values

    def with_mask(_: Any, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
        return args, {**values, "attention_mask": additive}

    def inside_masks(_: Any, args: tuple[Any, ...], result: tuple[Tensor, Tensor]) -> Any:
        if example_masks is None or not example_masks.shape[1]:
            return result
        outside = resized(example_masks, tuple(args[2])).flatten(2) <= 0  # (B, E, S)
        rows = outside.repeat_interleave(heads, 0)
        masks = torch.cat([result[1][:, : -rows.shape[1]], rows], 1)
        return result[0], masks

    handles = [
        decoder.register_forward_pre_hook(with_queries, with_kwargs=True),
        decoder.mask_predictor.register_forward_hook(inside_masks),
        decoder.register_forward_hook(lambda _, args, result: seen.append(result)),
    ]
    for layer in decoder.layers:
        handles.append(layer.self_attn.register_forward_pre_hook(with_mask, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
