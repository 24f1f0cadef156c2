"""The contrastive loss of CLIP for batches in which several rows share a caption.

A caption that is true of a row without being its own ("a red thing" beside "a striped red star")
is neither a positive nor a negative: it is taken out of the denominator. With one caption per row
and no such pairs this is CLIP's symmetric cross entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast(
    rows: Tensor,
    texts: Tensor,
    *,
    own: Tensor,
    true: Tensor,
    logit_scale: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Returns the mean loss over rows, both directions averaged; in float32.

    With l(r, t) the scaled cosine, the two directions of row r with its own text t are

        -log  exp l(r, t) / (exp l(r, t) + sum over texts t' not true of r of exp l(r, t'))
        -log  exp l(r, t) / (exp l(r, t) + sum over rows r' that t is not true of of exp l(r', t))

    Args:
        rows: (R, D) image or patch embeddings.
        texts: (T, D) embeddings of distinct captions.
        own: (R,) int64, the caption of each row.
        true: (R, T) bool, which captions are true of which row; holds at least the own one.
        logit_scale: scalar, the factor of the cosine.
        weights: (R,) weight of each row; equal where None.
    """
    rows, texts = F.normalize(rows.float(), dim=-1), F.normalize(texts.float(), dim=-1)
    logits = logit_scale.float() * rows @ texts.T  # (R, T)
    positive = logits.gather(1, own[:, None])[:, 0]  # (R,)
    negatives = logits.masked_fill(true, -torch.inf)
    other_texts = negatives.logsumexp(1)  # (R,)
    other_rows = negatives.logsumexp(0)[own]  # (R,)
    loss = 0.5 * (F.softplus(other_texts - positive) + F.softplus(other_rows - positive))
    if weights is None:
        return loss.mean()
    return (loss * weights).sum() / weights.sum()
