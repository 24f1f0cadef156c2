"""Noise fields that the surfaces, boundaries and weather are made of.

Every field is periodic, so that a tile can be wrapped around its edges without a seam.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""An array of any shape, float32 in practice; numpy's types cannot follow scalar promotion."""


def fractal_noise(
    rng: np.random.Generator,
    side: int,
    *,
    slope: float = 1.0,
    stretch: tuple[float, float] = (1.0, 1.0),
    low_cut: float = 1.0,
) -> Field:
    """White noise filtered to the amplitude spectrum 1 / frequency**slope.

    Args:
        rng: source of randomness.
        side: side of the square field, in pixels.
        slope: 0 is white noise, 1 is pink and cloudy, 2 is very smooth.
        stretch: factors (y, x) by which features are longer along an axis.
        low_cut: frequencies below this many periods per side are flattened.

    Returns:
        (side, side) float32, mean 0, standard deviation 1.
    """
    white = rng.standard_normal((side, side), dtype=np.float32)
    spectrum = np.fft.rfft2(white)
    frequency_y = np.fft.fftfreq(side, 1 / side)[:, None] * stretch[0]
    frequency_x = np.fft.rfftfreq(side, 1 / side)[None, :] * stretch[1]
    frequency = np.maximum(np.hypot(frequency_y, frequency_x), low_cut)
    spectrum *= frequency**-slope
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(side, side))
    return (field / field.std()).astype(np.float32)


def voronoi(
    rng: np.random.Generator,
    side: int,
    cells: int,
    *,
    jitter: float = 0.8,
    squash: float = 1.0,
) -> tuple[Field, Field, NDArray[np.int32]]:
    """Distances to the two nearest points of a jittered, periodic grid of points.

    Args:
        rng: source of randomness.
        side: side of the square field, in pixels.
        cells: number of cells along each axis.
        jitter: 0 gives a square lattice, 1 a fully irregular one.
        squash: vertical distances count this much more than horizontal ones.

    Returns:
        nearest: (side, side) float32, distance in cell widths, about 0..1.
        second: (side, side) float32, distance to the second nearest point.
        cell_ids: (side, side) int32 in 0..cells**2-1, the cell of the nearest point.
    """
    points = rng.random((cells, cells, 2), dtype=np.float32) * jitter + (1 - jitter) / 2
    axis = np.arange(side, dtype=np.float32) * (cells / side)
    y, x = axis[:, None], axis[None, :]
    cell_y, cell_x = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
    nearest = np.full((side, side), 9.0, np.float32)
    second = nearest.copy()
    cell_ids = np.zeros((side, side), np.int32)
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            row, column = cell_y + step_y, cell_x + step_x
            wrapped = points[row % cells, column % cells]
            distance = np.hypot(
                (row + wrapped[..., 1] - y) * np.float32(squash), column + wrapped[..., 0] - x
            )
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            cell_ids = np.where(closer, (row % cells) * cells + column % cells, cell_ids)
            nearest = np.minimum(nearest, distance)
    return nearest, second, cell_ids


def make_rgb(red: float, green: float, blue: float) -> Field:
    """A colour as (3,) float32."""
    return np.array((red, green, blue), np.float32)


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high` and a smooth ramp between; same shape as `value`."""
    ramp = np.clip((value - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)
