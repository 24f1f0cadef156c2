"""Encodings of positions against their formulas, cell by cell."""

import math

import pytest
import torch

from segtune.backbones.decoders.position import FourierPositions, SinePositions, sine_positions


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


def test_fourier_features_of_every_cell_and_of_points():
    torch.manual_seed(0)
    encoding = FourierPositions(6)
    found = encoding(torch.zeros((), dtype=torch.float64), (2, 3))
    assert found.shape == (6, 2, 3)
    assert found.dtype == torch.float64
    for row in range(2):
        for column in range(3):
            x, y = (column + 0.5) / 3, (row + 0.5) / 2
            for k, (along, across) in enumerate(encoding.frequencies.T.tolist()):
                angle = 2 * math.pi * ((2 * x - 1) * along + (2 * y - 1) * across)
                assert found[k, row, column] == pytest.approx(math.sin(angle), abs=1e-5)
                assert found[3 + k, row, column] == pytest.approx(math.cos(angle), abs=1e-5)
    point = encoding.at(torch.tensor([[0.5, 0.25], [1 / 6, 0.75]]))
    torch.testing.assert_close(point, torch.stack([found[:, 0, 1], found[:, 1, 0]]).float())


def test_fourier_frequencies_are_stored_and_sines_need_nothing():
    assert list(FourierPositions(6).state_dict()) == ["frequencies"]
    sines = SinePositions(6)
    assert not sines.state_dict()
    assert torch.equal(sines(torch.zeros(()), (2, 3)), sine_positions(2, 3, 3))
