"""The losses of clicks: which mask they mean, and which query says so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.seem.model import Seem
from segtune.backbones.seem.point_prompts import POSITIVE, wanted_features
from segtune.trainers.bundled.scenes.batch import PromptTargets


def prompt_losses(
    seem: Seem, memory: DecoderMemory, prompts: Sequence[PromptTargets]
) -> dict[str, Tensor]:
    """Returns {"prompt_mask", "prompt_choice"}.

    Every prompt asks a copy of all queries. The copy that fits its mask best learns the mask, and
    to be the one whose mask embedding agrees most with the features under the clicks, which is how
    the answer is chosen afterwards.
    """
    points = torch.stack([prompt.points for prompt in prompts])  # (B, P, C, 2)
    labels = torch.full(points.shape[:-1], POSITIVE, device=points.device)
    assert seem.points is not None
    tokens = seem.points.tokens(memory, points, labels)
    decoder = seem.decoder
    group = QueryGroup(decoder.query_content, decoder.query_position, tokens=tokens)
    output = decoder.answer(memory, [group])[0]
    num_prompts = points.shape[1]
    height, width = output.mask_logits.shape[-2:]
    masks = output.mask_logits.unflatten(1, (num_prompts, -1)).flatten(3)  # (B, P, Q, h w)
    embeds = output.mask_embeds.unflatten(1, (num_prompts, -1))  # (B, P, Q, M)
    truth = torch.stack([prompt.masks for prompt in prompts]).float()  # (B, P, H, W)
    truth = F.adaptive_avg_pool2d(truth, (height, width)).flatten(2)  # (B, P, h w)
    bce = F.binary_cross_entropy_with_logits(
        masks, truth[:, :, None].expand_as(masks), reduction="none"
    ).mean(-1)
    probs = masks.sigmoid()
    overlap = 2 * (probs * truth[:, :, None]).sum(-1)
    dice = 1 - (overlap + 1) / (probs.sum(-1) + truth[:, :, None].sum(-1) + 1)
    fit = 5 * bce + 5 * dice  # (B, P, Q)
    best = fit.detach().argmin(-1)
    is_real = truth.sum(-1) > 0
    agreement = torch.einsum("bpqm,bpm->bpq", embeds, wanted_features(memory, points, labels))
    choice = F.cross_entropy(agreement.flatten(0, 1), best.flatten(), reduction="none")
    count = is_real.sum().clamp(min=1)
    chosen = fit.gather(-1, best[..., None])[..., 0]
    return {
        "prompt_mask": (chosen * is_real).sum() / count,
        "prompt_choice": (choice.view_as(best) * is_real).sum() / count,
    }
