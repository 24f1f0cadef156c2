"""Relationship prompts: image-to-pixel attention (ITP), prompt generation (APG) and M2oE.

RPN paper section 3.2, equations 2 to 6. Shape letters: B images, N patches, K classes, d encoder
width, k joint width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ITP = Literal["both", "no_image", "no_pixel"]


def attention_map(patches: Tensor, cls: Tensor, text: Tensor, *, itp: ITP = "both") -> Tensor:
    """Returns the image-to-pixel attention m = p (t * g)^T, (B, N, K); no softmax, no temperature.

    Args:
        patches: (B, N, k), unit length.
        cls: (B, k), unit length.
        text: (K, k), unit length.
        itp: "no_image" leaves the class token out: p t^T.
    """
    return patches @ _class_queries(cls, text, itp).mT


def _class_queries(cls: Tensor, text: Tensor, itp: ITP) -> Tensor:
    """(t * g): (B, K, k); t alone, (1, K, k), without the image level."""
    return text[None] if itp == "no_image" else text[None] * cls[:, None]


def relationship_prompts(
    patches: Tensor,
    cls: Tensor,
    text: Tensor,
    knowledge: Tensor,
    *,
    itp: ITP = "both",
    bias: Tensor | None = None,
) -> Tensor:
    """Returns one prompt per class, rel = m^T h, (B, K, d).

    The product is evaluated as (p (t * g)^T)^T h or as (t * g) (p^T h), whichever takes fewer
    multiplications; both are the same numbers up to rounding.

    Args:
        patches, cls, text: as in `attention_map`.
        knowledge: h, (N, d); (k, d) for itp="no_pixel", where rel = (t * g) h.
        itp: which levels take part.
        bias: (d,), added to every prompt (the "nn.Linear" form of APG).
    """
    queries = _class_queries(cls, text, itp)  # (B or 1, K, k)
    if itp == "no_pixel":
        prompts = queries @ knowledge
    else:
        n, k, d, classes = *patches.shape[1:], knowledge.shape[1], len(text)
        if n * classes * (k + d) <= n * k * d + classes * k * d:
            prompts = (patches @ queries.mT).mT @ knowledge
        else:
            prompts = queries @ (patches.mT @ knowledge)
    return prompts if bias is None else prompts + bias


def resize_knowledge(
    knowledge: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int]
) -> Tensor:
    """Returns h for another patch grid: (h*w, d), resized bilinearly as an (h, w, d) picture.

    The official code only ever sees the training grid; elsewhere this is our reconstruction.
    """
    if from_grid == to_grid:
        return knowledge
    picture = knowledge.T.reshape(1, -1, *from_grid)
    picture = F.interpolate(picture, to_grid, mode="bilinear", align_corners=False)
    return picture[0].flatten(1).T


class MixtureOfExperts(nn.Module):
    """M2oE: low-rank multi-scale depth-wise experts with a noisy top-k gate per image.

    Equations 7 to 9 of the paper; what it does not state is in the comments. Output is added to
    the patch tokens, for the relationship path only.

    Args:
        width: d.
        rank: r of the shared bottleneck.
        num_experts: n; expert j works at scale 2^-j.
        top_k: experts kept per image.
        gated: False sums all experts ("Multi-Scale" in the paper).
    """

    def __init__(
        self, width: int, *, rank: int = 3, num_experts: int = 4, top_k: int = 2, gated: bool = True
    ) -> None:
        super().__init__()
        self.top_k, self.gated = top_k, gated
        self.down = nn.Linear(width, rank)
        self.experts = nn.ModuleList(
            nn.Conv2d(rank, rank, 3, padding=1, groups=rank) for _ in range(num_experts)
        )
        self.up = nn.Linear(rank, width)  # shared by the experts, applied once to their sum
        self.w_gate = nn.Parameter(torch.zeros(rank, num_experts))
        self.w_noise = nn.Parameter(torch.zeros(rank, num_experts))

    def forward(self, patches: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns the changed patch tokens (B, N, d) and the gates (B, n), which sum to one."""
        reduced = self.down(patches)  # (B, N, r)
        gates = self.gates(reduced)
        picture = reduced.mT.unflatten(2, grid)  # (B, r, h, w)
        total = 1 if self.gated else len(self.experts)  # how often the bias of `up` is added
        weights = gates.unbind(1) if self.gated else (None,) * len(self.experts)
        mixed = torch.zeros_like(picture)
        for j, gate in enumerate(weights):
            if gate is None:
                mixed = mixed + self.expert(j, picture)
            elif self.training or bool((gate > 0).any()):
                mixed = mixed + gate[:, None, None, None] * self.expert(j, picture)
        return patches + mixed.flatten(2).mT @ self.up.weight.T + total * self.up.bias, gates

    def expert(self, index: int, picture: Tensor) -> Tensor:
        """Returns expert `index` of (B, r, h, w): down-scaled, convolved, resized back."""
        size = picture.shape[-2:]
        small = [max(round(side / 2**index), 1) for side in size]
        scaled = F.interpolate(picture, small, mode="bilinear", align_corners=False)
        return F.interpolate(
            self.experts[index](scaled), size, mode="bilinear", align_corners=False
        )

    def gates(self, reduced: Tensor) -> Tensor:
        """Returns the gate values (B, n) of low-rank tokens (B, N, r)."""
        summary = reduced.mean(1)
        logits = summary @ self.w_gate
        if self.training:
            scale = F.softplus(summary @ self.w_noise) + 1e-2
            logits = logits + torch.randn_like(logits) * scale
        # A stable sort breaks the tie of an untrained gate the same way everywhere.
        order = logits.argsort(dim=1, descending=True, stable=True)
        dropped = torch.ones_like(logits, dtype=torch.bool).scatter(
            1, order[:, : self.top_k], False
        )
        return logits.masked_fill(dropped, float("-inf")).softmax(1)


def balance_loss(gates: Tensor) -> Tensor:
    """Returns the squared coefficient of variation of the experts' importance; gates: (B, n)."""
    importance = gates.float().sum(0)
    return importance.var(unbiased=False) / (importance.mean() ** 2 + 1e-10)
