"""Reading maps at points, and choosing the points where a mask is least certain.

Mask losses need not look at every pixel: PointRend (Kirillov et al., 2020, section 3.1) and
Mask2Former (Cheng et al., 2022, section 3.3) compare masks at a few thousand points, most of them
where the predicted logit is near zero. Points are (x, y) in 0..1 of the map, padding included;
(0, 0) is the outer corner of the first pixel, so its centre lies at (0.5 / w, 0.5 / h).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_points(maps: Tensor, points_norm: Tensor) -> Tensor:
    """Returns the bilinear values of maps at points (align_corners=False, zero outside).

    Args:
        maps: (N, h, w), float or bool.
        points_norm: (N, P, 2) points of every map, or (1, P, 2) points shared by all maps.

    Returns:
        (N, P) in the dtype of the points, with gradients to float maps and to the points.

    Example:
        >>> row = torch.tensor([[[0.0, 1.0]]])
        >>> sample_points(row, torch.tensor([[[0.25, 0.5], [0.5, 0.5]]])).tolist()
        [[0.0, 0.5]]
    """
    num_maps, num_points = len(maps), points_norm.shape[1]
    if len(points_norm) not in (1, num_maps):
        raise ValueError(
            f"{len(points_norm)} sets of points for {num_maps} maps; give one set per map, "
            "or one set of shape (1, P, 2) for all of them"
        )
    grid = (2 * points_norm - 1)[:, None].expand(num_maps, -1, -1, -1)  # (N, 1, P, 2)
    planes = maps.to(points_norm.dtype)[:, None]
    values = F.grid_sample(planes, grid, mode="bilinear", align_corners=False)
    return values.view(num_maps, num_points)


def random_points(
    num_sets: int,
    num_points: int,
    *,
    generator: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Returns (num_sets, num_points, 2) float32 uniform points in 0..1 on `device`.

    They are drawn on the device of the generator: a CPU generator gives every device the same ones.
    """
    points = torch.rand(num_sets, num_points, 2, generator=generator, device=generator.device)
    return points if device is None else points.to(device)


def most_uncertain(mask_logits: Tensor, points_norm: Tensor, num_points: int) -> Tensor:
    """Returns the candidates whose logits are nearest to zero, the nearest first.

    Args:
        mask_logits: (N, h, w), unbounded.
        points_norm: (N, M, 2) candidates, M >= num_points.

    Returns:
        (N, num_points, 2), without gradients.
    """
    with torch.no_grad():
        distance = sample_points(mask_logits.float(), points_norm).abs()
        chosen = distance.topk(num_points, dim=1, largest=False).indices
        return points_norm.gather(1, chosen[..., None].expand(-1, -1, 2))


def uncertain_points(
    mask_logits: Tensor,
    num_points: int,
    *,
    generator: torch.Generator,
    oversample: float = 3.0,
    importance: float = 0.75,
) -> Tensor:
    """Returns points for a mask loss: mostly where the mask is uncertain, some anywhere.

    Of `oversample * num_points` uniform candidates the `importance * num_points` most uncertain
    ones stay; uniform points fill up the rest.

    Args:
        mask_logits: (N, h, w), unbounded.

    Returns:
        (N, num_points, 2) on the device of the logits, without gradients; uncertain ones first.
    """
    num_masks, device = len(mask_logits), mask_logits.device
    num_uncertain = int(importance * num_points)
    num_candidates = max(int(oversample * num_points), num_uncertain)
    candidates = random_points(num_masks, num_candidates, generator=generator, device=device)
    anywhere = random_points(
        num_masks, num_points - num_uncertain, generator=generator, device=device
    )
    return torch.cat([most_uncertain(mask_logits, candidates, num_uncertain), anywhere], dim=1)
