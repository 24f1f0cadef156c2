"""Sine encodings against a loop over every cell and channel."""

import math

import pytest
import torch

from segtune.backbones.decoders.position import sine_positions


@pytest.mark.parametrize(
    ("height", "width", "features"), [(1, 1, 2), (2, 3, 8), (5, 1, 4), (3, 4, 5)]
)
def test_against_the_formula(height, width, features):
    expected = torch.zeros(2 * features, height, width)
    for row in range(height):
        for column in range(width):
            for channel in range(2 * features):
                i = channel % features
                step, size = (row, height) if channel < features else (column, width)
                angle = (
                    (step + 1) / (size + 1e-6) * 2 * math.pi / 10000 ** (2 * (i // 2) / features)
                )
                value = math.cos(angle) if i % 2 else math.sin(angle)
                expected[channel, row, column] = value
    torch.testing.assert_close(
        sine_positions(height, width, features), expected, atol=2e-6, rtol=1e-5
    )


def test_precision_is_that_of_float32_and_the_result_is_as_asked():
    half = sine_positions(4, 4, 8, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, sine_positions(4, 4, 8).bfloat16())


def test_empty_grid():
    assert sine_positions(0, 3, 4).shape == (8, 0, 3)
