from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segtune.ops.matched.point_sampling import (
    most_uncertain,
    random_points,
    sample_points,
    uncertain_points,
)
from tests.goldens import close, goldens


def _slow_value(plane: Tensor, x_norm: float, y_norm: float) -> float:
    """The bilinear value at one point, pixel by pixel; pixels outside are zero."""
    height, width = plane.shape
    x, y = x_norm * width - 0.5, y_norm * height - 0.5
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                weight = (1 - abs(x - column)) * (1 - abs(y - row))
                total += weight * float(plane[row, column])
    return total


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (6, 2)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_values_are_those_of_the_slow_version(size, shared, dtype) -> None:
    maps = torch.rand(4, *size, generator=torch.Generator().manual_seed(0))
    maps = maps > 0.5 if dtype == torch.bool else maps
    points = random_points(1 if shared else 4, 7, generator=torch.Generator().manual_seed(1))
    points = points * 1.4 - 0.2  # some lie outside
    expected = [
        [_slow_value(plane, *point) for point in points[0 if shared else i].tolist()]
        for i, plane in enumerate(maps)
    ]
    torch.testing.assert_close(sample_points(maps, points), torch.tensor(expected))


def test_pixel_centres_give_pixels_and_gradients_reach_maps_and_points() -> None:
    maps = torch.rand(1, 2, 2, requires_grad=True)
    centres = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]])
    torch.testing.assert_close(sample_points(maps, centres), maps.flatten(1))
    points = torch.tensor([[[0.4, 0.6]]], requires_grad=True)
    sample_points(maps, points).sum().backward()
    assert maps.grad.sum() == pytest.approx(1)
    assert points.grad.abs().sum() > 0


@pytest.mark.parametrize(("num_maps", "num_points"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_sample(num_maps, num_points) -> None:
    maps = torch.rand(num_maps, 4, 4, requires_grad=True)
    for num_sets in {1, num_maps}:
        values = sample_points(maps, torch.rand(num_sets, num_points, 2))
        assert values.shape == (num_maps, num_points)
    values.sum().backward()
    assert not maps.grad.any()


def test_wrong_number_of_sets() -> None:
    with pytest.raises(ValueError, match="2 sets of points for 3 maps"):
        sample_points(torch.rand(3, 4, 4), torch.rand(2, 5, 2))


def test_uncertain_points_lie_near_the_border_and_repeat_with_the_seed() -> None:
    ramp = torch.linspace(-10, 10, 64).expand(2, 64, 64)  # zero in the middle column
    draws = [
        uncertain_points(
            ramp, 40, generator=torch.Generator().manual_seed(3), oversample=4.0, importance=0.75
        )
        for _ in range(2)
    ]
    assert torch.equal(*draws)
    points = draws[0]
    assert points.shape == (2, 40, 2)
    assert (points[:, :30, 0] - 0.5).abs().max() < (points[:, 30:, 0] - 0.5).abs().max()
    assert ((points >= 0) & (points <= 1)).all()
    assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize(("importance", "uncertain"), [(0.0, 0), (0.75, 7), (1.0, 10)])
def test_number_of_points_is_kept(importance, uncertain) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(3, 4, 4, requires_grad=True)
    points = uncertain_points(
        logits, 10, generator=generator, oversample=1.0, importance=importance
    )
    assert points.shape == (3, 10, 2)
    assert not points.requires_grad
    distance = sample_points(logits, points).abs()[:, :uncertain]
    assert torch.equal(distance, distance.sort(1).values)


def test_no_mask_has_no_points() -> None:
    points = uncertain_points(torch.rand(0, 4, 4), 8, generator=torch.Generator())
    assert points.shape == (0, 8, 2)


@pytest.mark.golden
@pytest.mark.parametrize("component", ["segprompt_losses_single", "segprompt_losses_repeat"])
def test_choice_of_recorded_candidates_is_the_official_one(component) -> None:
    for golden in goldens(component):
        sizes = golden.config
        final = sizes["num_predictions"] - 1
        num_uncertain = int(sizes["importance_ratio"] * sizes["num_points"])
        for step in range(sizes["num_predictions"]):
            name = "final" if step == final else str(step)
            matched = torch.cat(
                [
                    golden["in.agnostic_masks"][step][b][golden[key]]
                    for b in range(sizes["batch"])
                    if (key := f"out.agnostic.{name}.match_query.{b}") in golden.tensors
                ]
            )
            draws = golden.part(f"rand.agnostic.{name}")
            chosen = most_uncertain(matched, draws["oversampled"], num_uncertain)
            points = torch.cat([chosen, draws["uniform"]], dim=1)
            close(points, golden[f"out.agnostic.{name}.point_coords"])
