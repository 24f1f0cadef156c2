import numpy as np

from segtune.data.synthetic.noise import fractal_noise, smoothstep, voronoi


def test_fractal_noise_is_normalised_and_periodic():
    field = fractal_noise(np.random.default_rng(0), 64, slope=2.0)
    assert field.shape == (64, 64)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 1e-5
    assert abs(field.std() - 1) < 1e-5
    inside = np.abs(np.diff(field, axis=0)).max()
    assert np.abs(field[0] - field[-1]).max() <= 2 * inside


def test_stretch_makes_features_longer_along_that_axis():
    field = fractal_noise(np.random.default_rng(0), 64, slope=1.5, stretch=(6, 1))
    assert np.abs(np.diff(field, axis=0)).mean() < np.abs(np.diff(field, axis=1)).mean()


def test_voronoi_agrees_with_distances_to_all_points_on_the_torus():
    side, cells = 24, 4
    nearest, second, cell_ids = voronoi(np.random.default_rng(3), side, cells, jitter=0.5)
    points = np.random.default_rng(3).random((cells, cells, 2), dtype=np.float32) * 0.5 + 0.25
    rows, columns = np.indices((cells, cells))
    point_y, point_x = (rows + points[..., 1]).ravel(), (columns + points[..., 0]).ravel()
    axis = np.arange(side) * cells / side
    gap_y = np.abs(axis[:, None, None] - point_y)
    gap_x = np.abs(axis[None, :, None] - point_x)
    distance = np.hypot(np.minimum(gap_y, cells - gap_y), np.minimum(gap_x, cells - gap_x))
    ordered = np.sort(distance, axis=-1)
    np.testing.assert_allclose(nearest, ordered[..., 0], atol=1e-4)
    np.testing.assert_allclose(second, ordered[..., 1], atol=1e-4)
    np.testing.assert_array_equal(cell_ids, distance.argmin(-1))


def test_smoothstep_runs_from_zero_to_one():
    values = smoothstep(0.0, 2.0, np.float32([-1, 0, 1, 2, 3]))
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1])
