"""Two optional losses that tell the examples of different classes apart; off in all published runs.

[R] What they compare is known from the released code, but it was never replayed: cosine
similarities are taken as logits of a binary cross-entropy, divided by the number of classes.

Shape letters: B images, E example queries, V rows of the cache, C width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from segtune.systems.segprompt.prompts import PromptCache

ACTIVE_FROM = 80
"""Rows of the cache of which more must be known."""


def similarity_losses(
    states: Tensor, class_ids: Tensor, cache: PromptCache
) -> tuple[Tensor, Tensor]:
    """Returns the loss of class means against the cache, and of the examples among each other.

    Both are zero, with a graph, without examples or while the cache knows few classes.

    Args:
        states: (B, E, C) of example queries after the last layer.
        class_ids: (B, E) int64; empty slots have the id of the padding row, V - 1.
    """
    flat, ids = states.flatten(0, 1), class_ids.flatten()
    padding = len(cache.rows) - 1
    flat, ids = flat[ids != padding], ids[ids != padding]
    known = cache.is_initialised.clone()
    known[padding] = False
    if not len(ids) or int(known.sum()) <= ACTIVE_FROM:
        return states.sum() * 0, states.sum() * 0
    classes, rows = ids.unique(return_inverse=True)
    sums = flat.new_zeros(len(classes), flat.shape[1]).index_add(0, rows, flat)
    means = sums / rows.bincount(minlength=len(classes))[:, None]
    wanted = known.nonzero().flatten()
    with_cache = F.cosine_similarity(means[:, None], cache.rows[wanted].to(means), dim=-1)
    with_others = F.cosine_similarity(flat[:, None], flat, dim=-1)
    cache_loss = _bce(with_cache, classes[:, None] == wanted)
    batch_loss = _bce(with_others, ids[:, None] == ids)
    return cache_loss / len(classes), batch_loss / len(classes)


def _bce(logits: Tensor, same: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, same.to(logits.dtype), reduction="sum")
