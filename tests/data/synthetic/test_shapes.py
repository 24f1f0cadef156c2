import numpy as np
import pytest
from scipy import ndimage

from segtune.data.synthetic.shapes import OUTLINES

STEP = 0.02


def _grid():
    axis = np.arange(-1.2, 1.2, STEP, dtype=np.float32)
    return np.meshgrid(axis, axis)


@pytest.mark.parametrize("shape", OUTLINES)
def test_outline_fits_the_unit_circle_and_is_centred(shape):
    u, v = _grid()
    inside = OUTLINES[shape](u, v) < 0
    reach = np.hypot(u, v)[inside].max()
    assert 0.8 < reach < 1.1
    assert 0.2 < inside.sum() * STEP**2 / np.pi < 0.85
    assert abs(u[inside].mean()) < 0.45
    assert abs(v[inside].mean()) < 0.2


@pytest.mark.parametrize("shape", OUTLINES)
def test_outline_is_one_piece(shape):
    u, v = _grid()
    assert ndimage.label(OUTLINES[shape](u, v) < 0)[1] == 1


@pytest.mark.parametrize("shape", OUTLINES)
def test_distance_agrees_with_the_distance_transform(shape):
    u, v = _grid()
    distance = OUTLINES[shape](u, v)
    inside = distance < 0
    measured = np.where(
        inside,
        -ndimage.distance_transform_edt(inside),
        ndimage.distance_transform_edt(~inside),
    )
    near = np.abs(measured) < 8
    # crescent and cross combine two distances with max/min: exact outside corners only
    assert np.abs(distance / STEP - measured)[near].mean() < 1.0
