"""Outlines are exact: filling them gives the mask again, by COCO's rule and by drawing lines."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from segtune.data.masks.outlines import polygons, rings, single_polygon, traced
from segtune.data.masks.shapes import fill_polygons

RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], bool)
TOUCHING = np.array([[1, 0], [0, 1]], bool)


def scenes(count: int):
    random = np.random.default_rng(3)
    for _ in range(count):
        size = tuple(random.integers(1, 24, 2))
        soft = ndimage.gaussian_filter(random.normal(size=size), random.uniform(0, 3))
        yield soft > np.quantile(soft, random.uniform(0.1, 0.9))


def test_a_ring_has_a_hole():
    outer, hole = rings(RING)
    assert (outer.is_hole, hole.is_hole) == (False, True)
    assert outer.corners.tolist() == [[0, 0], [4, 0], [4, 4], [0, 4]]
    assert hole.corners.tolist() == [[1, 1], [3, 1], [3, 3], [1, 3]]


@pytest.mark.parametrize("mask", [TOUCHING, TOUCHING[:, ::-1]])
def test_pixels_that_touch_in_a_corner_are_two_parts(mask):
    assert [len(ring.corners) for ring in rings(mask)] == [4, 4]
    assert not any(ring.is_hole for ring in rings(mask))


def test_nothing_has_no_outline():
    empty = np.zeros((3, 3), bool)
    assert rings(empty) == []
    assert polygons(empty) == []
    assert single_polygon(empty).shape == (0, 2)


def test_filled_by_the_rule_of_coco_it_is_the_mask():
    for mask in scenes(500):
        if mask.any():
            size = mask.shape
            parts = [part.ravel().astype(float).tolist() for part in polygons(mask)]
            assert (fill_polygons(parts, size) == mask).all()
            whole = single_polygon(mask).ravel().astype(float).tolist()
            assert (fill_polygons([whole], size) == mask).all()


def test_drawn_with_its_line_it_is_the_mask():
    for mask in scenes(500):
        found = rings(mask)
        if any(ring.is_hole for ring in found):
            continue
        page = Image.new("1", mask.shape[::-1])
        for ring in found:
            points = list(map(tuple, traced(ring).tolist()))
            ImageDraw.Draw(page).polygon(points, fill=1, outline=1)
        assert (np.asarray(page) == mask).all()
