"""Deformable sampling: both forms against each other and against a loop over points."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.deformable import ms_deform_attn

SIZES = [(5, 7), (3, 4), (1, 2), (1, 1)]


def problem(
    *,
    images: int = 2,
    queries: int = 6,
    heads: int = 3,
    width: int = 5,
    points: int = 2,
    sizes: list[tuple[int, int]] = SIZES,
    spread: float = 1.5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations (`spread` widths of a map around its centre) and weights."""
    generator = torch.Generator().manual_seed(seed)
    count = sum(h * w for h, w in sizes)
    shape = (images, queries, heads, len(sizes), points)
    value = torch.randn(images, count, heads, width, generator=generator, dtype=dtype)
    locations = 0.5 + spread * (torch.rand(*shape, 2, generator=generator, dtype=dtype) - 0.5)
    weights = torch.randn(shape, generator=generator, dtype=dtype)
    return value, locations, weights


def one_by_one(value: Tensor, sizes, locations: Tensor, weights: Tensor) -> Tensor:
    """The definition: bilinear reading of every point, zero outside."""
    images, _, heads, width = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    starts = [sum(h * w for h, w in sizes[:level]) for level in range(len(sizes))]
    found = value.new_zeros(images, queries, heads, width)
    for b, q, k, level, p in itertools.product(
        range(images), range(queries), range(heads), range(len(sizes)), range(points)
    ):
        h, w = sizes[level]
        x, y = (locations[b, q, k, level, p] * torch.tensor([w, h]) - 0.5).tolist()
        for row, column in itertools.product(
            (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
        ):
            if 0 <= row < h and 0 <= column < w:
                share = (1 - abs(y - row)) * (1 - abs(x - column)) * weights[b, q, k, level, p]
                found[b, q, k] += share * value[b, starts[level] + row * w + column, k]
    return found.flatten(2)


@pytest.mark.parametrize("form", ["plain", "bags"])
@pytest.mark.parametrize("spread", [0.9, 1.5, 20.0])
def test_both_forms_are_the_definition(form, spread):
    value, locations, weights = problem(spread=spread)
    found = ms_deform_attn(value, SIZES, locations, weights, form=form)
    torch.testing.assert_close(found, one_by_one(value, SIZES, locations, weights))


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"images": 1, "heads": 1, "points": 1, "width": 1},
        {"sizes": [(1, 1)]},
        {"sizes": [(9, 1), (1, 9)]},
        {"queries": 1, "heads": 8, "points": 4, "spread": 1.01},
        {"spread": 300.0},
    ],
)
def test_both_forms_agree_with_all_gradients(case):
    sizes = case.get("sizes", SIZES)
    inputs = [tensor.requires_grad_() for tensor in problem(**case)]
    results = []
    for form in ("plain", "bags"):
        found = ms_deform_attn(inputs[0], sizes, *inputs[1:], form=form)
        direction = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).double()
        gradients = torch.autograd.grad((found * direction).sum(), inputs)
        results.append((found.detach(), *gradients))
    for plain, bags in zip(*results, strict=True):
        torch.testing.assert_close(plain, bags, rtol=1e-10, atol=1e-10)


def test_gradients_against_differences():
    inputs = [t.requires_grad_() for t in problem(images=1, queries=2, width=2, points=1)]
    assert torch.autograd.gradcheck(lambda v, at, a: ms_deform_attn(v, SIZES, at, a), inputs)


def test_points_on_the_edges_of_a_map():
    """Outer edges, centres of border positions, exactly one position outside, and beyond."""
    value = torch.arange(1.0, 7.0, dtype=torch.float64).view(1, 6, 1, 1)
    axis = torch.tensor([-9.0, -0.5, -1 / 6, 0.0, 1 / 6, 0.5, 5 / 6, 1.0, 7 / 6, 1.5, 9.0])
    points = torch.cartesian_prod(axis, axis).double().view(1, 1, 1, 1, -1, 2)
    for size in ((2, 3), (3, 2)):
        for point in points.unbind(4):
            at, one = point.unsqueeze(4), torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
            expected = one_by_one(value, [size], at, one)
            for form in ("plain", "bags"):
                torch.testing.assert_close(
                    ms_deform_attn(value, [size], at, one, form=form), expected, msg=f"{at} {form}"
                )


def test_float32_and_bfloat16():
    value, locations, weights = problem(dtype=torch.float32, spread=1.1)
    exact = ms_deform_attn(value.double(), SIZES, locations.double(), weights.double())
    found = ms_deform_attn(value, SIZES, locations, weights)
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=1e-5)
    half = ms_deform_attn(value.bfloat16(), SIZES, locations, weights)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), exact, atol=0.1, rtol=0.1)


def test_a_point_that_is_not_finite_spoils_its_own_query_only():
    value, locations, weights = problem()
    expected = ms_deform_attn(value, SIZES, locations, weights)
    for bad in (torch.nan, torch.inf, -torch.inf):
        broken = locations.clone()
        broken[1, 2, 1, 0, 0] = bad
        found = ms_deform_attn(value, SIZES, broken, weights)
        found[1, 2], wanted = 0, expected.clone()
        wanted[1, 2] = 0
        assert torch.equal(found, wanted)
    broken[1, 2, 1, 0, 0] = torch.nan
    assert ms_deform_attn(value, SIZES, broken, weights)[1, 2].isnan().any()


def test_wrong_sizes_are_refused():
    value, locations, weights = problem()
    with pytest.raises(SegtuneError, match=r"50 values and points on 4 levels do not fit .* 5x7"):
        ms_deform_attn(value, SIZES[:3], locations, weights)
    with pytest.raises(SegtuneError, match="expected 49 values and 3 levels"):
        ms_deform_attn(value[:, :49], SIZES[:3], locations, weights)
