"""One score per mask and class out of what the proposal network and CLIP each think of the mask.

All three published formulas are weighted geometric means of two probabilities, p of the proposal
network and phat of CLIP; they differ in what the softmax of CLIP runs over, in how classes seen in
training are weighted, and in what happens to empty masks. OVSeg (Liang et al., CVPR 2023, section
3.3 and the released code), SimBaseline (Xu et al., ECCV 2022, eq. 5) and ZegFormer (Ding et al.,
CVPR 2022, eq. 4 and 5).

Shape letters: Q masks, R of them with at least one pixel ("valid"), K classes. The result is always
(Q, K) float32, 0..1; rows need not sum to one. Per pixel, the score of a class is the sum over
masks of score times mask probability (`ops.mask_labels`).
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = 100.0
"""Factor between cosine similarities and logits: a constant, whatever `logit_scale` was learned."""


def proposal_probs(class_logits: Tensor) -> Tensor:
    """Returns p (Q, K): softmax over classes and "no object", which is then left out.

    Args:
        class_logits: (Q, K + 1), unbounded; the last column is "no object".
    """
    return class_logits.float().softmax(-1)[:, :-1]


def clip_probs(clip_logits: Tensor, valid: Tensor, *, invalid: float) -> Tensor:
    """Returns phat (Q, K): softmax over the classes alone, `invalid` for masks without a pixel.

    Args:
        clip_logits: (R, K), unbounded, of the valid masks in order.
        valid: (Q,) bool.
        invalid: 1 makes CLIP say nothing about an empty mask, 0 drops it.
    """
    probs = clip_logits.new_full((len(valid), clip_logits.shape[-1]), invalid, dtype=torch.float32)
    probs[valid] = clip_logits.float().softmax(-1)
    return probs


def fuse_ovseg(
    class_logits: Tensor, clip_logits: Tensor, valid: Tensor, *, weight: float
) -> Tensor:
    """Returns p^(1 - w) * phat^w.

    Empty masks keep phat = 1 and so still vote, with more weight than the others. A weight of 0
    means CLIP alone, as in the released configs: phat, and empty masks are dropped.

    Args:
        class_logits: (Q, K + 1), unbounded; the last column is "no object".
        clip_logits: (R, K), unbounded, of the valid masks in order.
        valid: (Q,) bool, which masks have a pixel.
        weight: w, 0..1.

    Example:
        >>> p = torch.tensor([[0.6, 0.3, 0.1]]).log()
        >>> phat = torch.tensor([[0.2, 0.8]]).log()
        >>> fuse_ovseg(p, phat, torch.tensor([True]), weight=0.5).square()
        tensor([[0.1200, 0.2400]])
    """
    if weight == 0:
        return clip_probs(clip_logits, valid, invalid=0.0)
    phat = clip_probs(clip_logits, valid, invalid=1.0)
    return proposal_probs(class_logits) ** (1 - weight) * phat**weight


def fuse_simbaseline(
    class_logits: Tensor,
    clip_logits: Tensor,
    valid: Tensor,
    *,
    weight: float,
    seen: Tensor | None = None,
) -> Tensor:
    """Returns p^w * phat^(1 - w) for seen classes and p^(1 - w) * phat^w for the others.

    Empty masks and the weight 0 as in `fuse_ovseg`, which this equals where no class is seen.

    Args:
        seen: (K,) bool, the classes that the proposal network was trained on; None where the
            protocol does not tell (the published cross-dataset scores).
    """
    if weight == 0 or seen is None or not bool(seen.any()):
        return fuse_ovseg(class_logits, clip_logits, valid, weight=weight)
    p, phat = proposal_probs(class_logits), clip_probs(clip_logits, valid, invalid=1.0)
    exponent = torch.where(seen, 1 - weight, weight).to(p)  # of phat, per class
    return p ** (1 - exponent) * phat**exponent


def fuse_zegformer(
    class_logits: Tensor,
    clip_logits: Tensor,
    *,
    weight: float = 2 / 3,
    seen: Tensor | None = None,
) -> Tensor:
    """Returns p^w * mean^(1 - w) for seen classes and p^(1 - w) * phat^w for the others.

    CLIP borrows the "no object" logit of the proposal network: phat is a softmax over K + 1 whose
    last column is left out. `mean` is the mean of phat over the seen classes, one number per mask.
    There are no empty masks: ZegFormer shows CLIP the whole image in their place.

    Args:
        class_logits: (Q, K + 1), unbounded; the last column is "no object".
        clip_logits: (Q, K), unbounded.
        weight: 2/3 in the paper; 1 without `seen` is CLIP alone.
        seen: (K,) bool; None treats all classes as unseen ("all classes" in the released code).
    """
    p, phat = proposal_probs(class_logits), zegformer_clip_probs(class_logits, clip_logits)
    unseen_score = p ** (1 - weight) * phat**weight
    if seen is None or not bool(seen.any()):
        return unseen_score
    mean = phat[:, seen].mean(1, keepdim=True)
    return torch.where(seen, p**weight * mean ** (1 - weight), unseen_score)


def zegformer_clip_probs(class_logits: Tensor, clip_logits: Tensor) -> Tensor:
    """Returns ZegFormer's phat (Q, K), which is also its score by CLIP alone."""
    joined = torch.cat([clip_logits.float(), class_logits[:, -1:].float()], 1)
    return joined.softmax(-1)[:, :-1]


def fuse_objectness(
    objectness: Tensor | None, clip_logits: Tensor, valid: Tensor, *, weight: float
) -> Tensor:
    """Returns objectness^(1 - w) * phat^w, for proposals that know no words (ours, unpublished).

    Nothing is known about an empty mask, so it is dropped.

    Args:
        objectness: (Q,), 0..1, how sure the source is that a mask is something; None counts as 1.
        clip_logits: (R, K), unbounded, of the valid masks in order.
        valid: (Q,) bool.
        weight: w, 0..1; 0 is CLIP alone, as in `fuse_ovseg`.
    """
    phat = clip_probs(clip_logits, valid, invalid=0.0)
    if weight == 0 or objectness is None:
        return phat if weight == 0 else phat**weight
    return objectness.float()[:, None] ** (1 - weight) * phat**weight
