"""Per-pixel losses of mask-classification models: what SSPrompt minimises on label maps.

A model with Q masks scores class c at pixel p by

    s[c, p] = Σ_q softmax(class_logits)[q, c] · σ(mask_logits)[q, p],   c < K

which is also what it decides by at test time. SSPrompt (arXiv 2401.04651) names a cross-entropy but
not its logits, so there are three forms; `nll` is the default because it agrees with the decision:

- `nll`: −log p[y] with p = max(s, 1e-6) normalised over the K classes;
- `score`: cross-entropy with s itself as logits (bounded scores, so a soft loss);
- `logsumexp`: cross-entropy with log s as logits. Without the 1e-6 this is `nll`; formed in log
  space it keeps gradients where a score is below 1e-6, and it never holds K planes of pixels.

A plain mean over pixels is won by large classes, while mIoU counts every class once:
`class_balance` moves the mean from pixels (0, the paper's cross-entropy) to classes (1).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from segtune.ops.resize import bilinear
from segtune.types import IGNORE

Form = Literal["nll", "score", "logsumexp"]
"""Which logits the cross-entropy sees; see the module docstring."""

MIN_SCORE = 1e-6
"""Smallest class score of the form `nll`."""

VALUES_AT_ONCE = 1 << 25
"""Scores that exist at the same time; larger problems go in chunks of pixels (128 MiB each)."""


def semantic_loss(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    *,
    form: Form = "nll",
    at: Literal["masks", "labels"] = "masks",
    class_balance: float = 0.0,
    values_at_once: int = VALUES_AT_ONCE,
) -> Tensor:
    """Returns the mean loss of all labelled pixels of the batch; 0 where nothing is labelled.

    Args:
        class_logits: (B, Q, K + 1), unbounded, the last column is "no object".
        mask_logits: (B, Q, h, w), unbounded, over the model input, padding included.
        labels: (B, H, W) int64 in 0..K-1 over the same input, negative where ignored.
        form: which logits the cross-entropy sees.
        at: "masks" compares at (h, w) with the nearest label of each cell, "labels" resizes the
            mask logits bilinearly to (H, W), which is slower.
        class_balance: a pixel of a class with n pixels in the batch weighs n ** -class_balance; 0
            is the mean over pixels, 1 the mean over the classes that occur.
        values_at_once: more scores than this are made in chunks of pixels that are computed again
            in the backward pass; the result is the same.

    Example:
        >>> labels = torch.tensor([[[0, -1]]])
        >>> class_logits, mask_logits = torch.zeros(1, 4, 3), torch.zeros(1, 4, 1, 2)
        >>> round(semantic_loss(class_logits, mask_logits, labels).item(), 4)  # log 2
        0.6931
    """
    if form not in _SUMS:
        raise ValueError(f"form is {form!r}; expected one of {', '.join(map(repr, _SUMS))}")
    if at not in ("masks", "labels"):
        raise ValueError(f"at is {at!r}; expected 'masks' or 'labels'")
    if not 0 <= class_balance <= 1:
        raise ValueError(f"class_balance is {class_balance}; expected 0 to 1")
    with torch.autocast(mask_logits.device.type, enabled=False):
        class_logits, mask_logits = class_logits.float(), mask_logits.float()
        if at == "masks":
            labels = nearest_labels(labels, mask_logits.shape[-2:])
        else:
            height, width = labels.shape[-2:]
            planes = bilinear(mask_logits.flatten(0, 1), (height, width))
            mask_logits = planes.unflatten(0, mask_logits.shape[:2])
        logits, labels = mask_logits.flatten(2), labels.flatten(1)  # (B, Q, P), (B, P)
        weights = _pixel_weights(labels, class_balance)
        num_images, num_queries, num_pixels = logits.shape
        planes_held = num_queries if form == "logsumexp" else class_logits.shape[2] - 1
        chunk = max(values_at_once // max(num_images * planes_held, 1), 1)
        if num_pixels <= chunk:
            total = _SUMS[form](class_logits, logits, labels, weights)
        else:
            by_pixels = (part.split(chunk, 1) for part in (labels, weights))
            parts = zip(logits.split(chunk, 2), *by_pixels, strict=True)
            total = torch.stack(
                [
                    checkpoint(_SUMS[form], class_logits, *part, use_reentrant=False)
                    for part in parts
                ]
            ).sum()
        return total / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def nearest_labels(labels: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Returns (B, H, W) labels at `size`: the label under the centre of each cell.

    Example:
        >>> nearest_labels(torch.tensor([[[0, 1, 2, 3]]]), (1, 2)).tolist()
        [[[1, 3]]]
    """
    if labels.shape[-2:] == tuple(size):
        return labels
    rows, columns = (
        # the centre of cell i lies at pixel (i + 1/2) · length / num_cells
        (2 * torch.arange(num_cells, device=labels.device) + 1) * length // (2 * num_cells)
        for num_cells, length in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]


def _pixel_weights(labels: Tensor, class_balance: float) -> Tensor:
    """Returns (B, P) float32 weights of labels (B, P), 0 where ignored."""
    labelled = (labels >= 0).float()
    if class_balance == 0:
        return labelled
    ids = labels.clamp(min=0)
    counts = torch.zeros(int(ids.max()) + 1 if ids.numel() else 1, device=labels.device)
    counts.index_add_(0, ids.flatten(), labelled.flatten())
    return labelled * counts.clamp(min=1).pow(-class_balance)[ids]


def _nll_sum(class_logits: Tensor, mask_logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    scores = _scores(class_logits, mask_logits).clamp(min=MIN_SCORE)  # (B, K, P)
    own = scores.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return ((scores.sum(1).log() - own.log()) * weights)[labels >= 0].sum()


def _score_sum(
    class_logits: Tensor, mask_logits: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    scores = _scores(class_logits, mask_logits)
    ids = labels.clamp(min=IGNORE)
    return (F.cross_entropy(scores, ids, ignore_index=IGNORE, reduction="none") * weights).sum()


def _logsumexp_sum(
    class_logits: Tensor, mask_logits: Tensor, labels: Tensor, weights: Tensor
) -> Tensor:
    # log s[y] − log Σ_c s[c]; the sum over classes is Σ_q (1 − p[q, K]) σ(mask): no K planes needed
    class_log_probs = class_logits.log_softmax(-1)[..., :-1]  # (B, Q, K)
    mask_log_probs = F.logsigmoid(mask_logits)  # (B, Q, P)
    index = labels.clamp(min=0)[:, None].expand_as(mask_logits)
    own = (class_log_probs.gather(2, index) + mask_log_probs).logsumexp(1)
    every = (class_log_probs.logsumexp(2, keepdim=True) + mask_log_probs).logsumexp(1)
    return ((every - own) * weights)[labels >= 0].sum()


def _scores(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """s of the module docstring: (B, K, P) from (B, Q, K + 1) and (B, Q, P) logits."""
    class_probs = class_logits.softmax(-1)[..., :-1]
    return torch.einsum("bqk,bqp->bkp", class_probs, mask_logits.sigmoid())


_SUMS = {"nll": _nll_sum, "score": _score_sum, "logsumexp": _logsumexp_sum}
