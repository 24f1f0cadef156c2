from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segtune.errors import SegtuneError
from segtune.types import IGNORE, Concept, Segment, Segmentation, Vocabulary
from segtune.viz import overlay
from segtune.viz.overlay import draw_overlay, legend_chips, region_maps
from segtune.viz.palette import class_colors

VOCABULARY = Vocabulary((Concept("car"), Concept("sky", kind="stuff"), Concept("tree")))


def halves(size: tuple[int, int]) -> Segmentation:
    semantic = np.full(size, IGNORE, dtype=np.int32)
    semantic[:, : size[1] // 2] = 1
    return Segmentation(size, VOCABULARY, semantic=semantic)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (40, 60), (900, 1300)])
@pytest.mark.parametrize("names", [False, True])
def test_any_size_with_and_without_legend(size: tuple[int, int], names: bool) -> None:
    image = np.full((*size, 3), 128, dtype=np.uint8)
    before = image.copy()
    plain = draw_overlay(image, halves(size), legend=False, names=names)
    assert plain.shape == image.shape
    assert plain.dtype == np.uint8
    framed = draw_overlay(image, halves(size), names=names)
    assert framed.shape[0] >= size[0]
    assert framed.shape[1] == max(size[1], 240)
    np.testing.assert_array_equal(image, before)


def test_fill_is_the_blend_and_unlabelled_pixels_stay() -> None:
    image = np.full((40, 40, 3), 100, dtype=np.uint8)
    picture = draw_overlay(image, halves((40, 40)), alpha=0.5, legend=False)
    color = class_colors(VOCABULARY)[1].astype(float)
    np.testing.assert_allclose(picture[20, 5], 0.5 * color + 50, atol=1)
    assert (picture[:, 20:] == 100).all()
    edge = 0.75 * color + 0.25 * 255
    np.testing.assert_allclose(picture[20, 19], edge, atol=1)
    nothing = Segmentation((40, 40), VOCABULARY, np.full((40, 40), IGNORE, dtype=np.int32))
    np.testing.assert_array_equal(draw_overlay(image, nothing, legend=False, names=True), image)


def test_segments_are_painted_with_the_best_on_top() -> None:
    def segment(class_id: int, score: float, x1: int, x2: int) -> Segment:
        return Segment(class_id, score, (x1, 0, x2, 4), np.ones((4, x2 - x1), dtype=bool))

    result = Segmentation(
        (4, 8), VOCABULARY, segments=(segment(0, 0.9, 0, 4), segment(2, 0.5, 2, 6))
    )
    classes, regions = region_maps(result)
    assert classes[0].tolist() == [0, 0, 0, 0, 2, 2, IGNORE, IGNORE]
    assert regions[0].tolist() == [0, 0, 0, 0, 1, 1, IGNORE, IGNORE]
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    picture = draw_overlay(image, result, legend=False, names=True)
    assert (picture[:, 6:] == 0).all()
    assert picture[:, :6].any(-1).all()


def test_panoptic_results_keep_their_label_map() -> None:
    semantic = np.zeros((4, 4), dtype=np.int32)
    part = Segment(0, 1.0, (0, 0, 2, 4), np.ones((4, 2), dtype=bool))
    classes, regions = region_maps(Segmentation((4, 4), VOCABULARY, semantic, (part,)))
    assert classes is semantic
    assert regions[0].tolist() == [0, 0, IGNORE, IGNORE]


def test_legend_names_what_is_there_largest_first() -> None:
    semantic = np.array([[1, 1, 1, 0], [1, 1, 1, IGNORE]], dtype=np.int32)
    chips = legend_chips(Segmentation((2, 4), VOCABULARY, semantic))
    assert [(chip.name, chip.note) for chip in chips] == [("sky", "75 %"), ("car", "12 %")]
    assert chips[0].color == tuple(class_colors(VOCABULARY)[1].tolist())
    many = Vocabulary.of(*(f"c{i}" for i in range(60)))
    wide = Segmentation((1, 60), many, np.arange(60, dtype=np.int32)[None])
    assert legend_chips(wide)[-1].name == "and 20 more"


def test_bad_input_is_one_clear_line() -> None:
    with pytest.raises(SegtuneError, match="give the"):
        draw_overlay(np.zeros((5, 4, 3), dtype=np.uint8), halves((4, 4)))
    with pytest.raises(SegtuneError, match="alpha is 2"):
        draw_overlay(np.zeros((4, 4, 3), dtype=np.uint8), halves((4, 4)), alpha=2)


def plain_fill(
    image: np.ndarray, classes: np.ndarray, regions: np.ndarray, colors: np.ndarray, alpha: float
) -> np.ndarray:
    """Returns the blend pixel by pixel, without a table."""
    shade = 1 + 0.14 * ((regions % 3) - 1) if regions is not classes else 1.0
    fill = colors[classes] * np.asarray(shade, dtype=np.float32)[..., None]
    weight = np.where(classes == IGNORE, 0, alpha).astype(np.float32)[..., None]
    return np.rint(image * (1 - weight) + np.minimum(fill, 255) * weight).astype(np.uint8)


@pytest.mark.parametrize("band", [1, 90, 1 << 20])
@pytest.mark.parametrize("alpha", [0.0, 0.55, 1.0])
def test_looked_up_fill_is_the_blend_bit_by_bit(
    monkeypatch: pytest.MonkeyPatch, band: int, alpha: float
) -> None:
    monkeypatch.setattr(overlay, "BAND_PX", band)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 41, 3), dtype=np.uint8)
    colors = rng.integers(0, 256, (5, 3), dtype=np.uint8)
    classes = rng.integers(IGNORE, 5, (37, 41)).astype(np.int32)
    for regions in (classes, rng.integers(IGNORE, 9, (37, 41)).astype(np.int32)):
        expected = plain_fill(image, classes, regions, colors, alpha)
        got = overlay._fill(image, classes, regions, colors, alpha)
        np.testing.assert_array_equal(got, expected)


def test_the_roomiest_place_of_a_box_is_that_of_the_map() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        noise = ndimage.gaussian_filter(rng.normal(size=(40, 53)), 3)
        regions = np.digitize(noise, np.quantile(noise, [0.2, 0.5, 0.8])).astype(np.int32) - 1
        found = dict(overlay._boxes(regions))
        assert sorted(found) == np.unique(regions[regions != IGNORE]).tolist()
        for region, (rows, columns) in found.items():
            room = ndimage.distance_transform_edt(np.pad(regions == region, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(room.argmax(), room.shape)
            inside = regions[rows, columns] == region
            most, place = overlay._roomiest(inside)
            assert (most, place[0] + rows.start, place[1] + columns.start) == (room[y, x], y, x)
            assert most <= overlay._most_room(inside)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 9), (12, 31)])
def test_full_boxes_and_discs_have_no_more_room_than_is_foretold(size: tuple[int, int]) -> None:
    full = np.ones(size, dtype=bool)
    y, x = np.indices(size) - np.array(size)[:, None, None] // 2
    for inside in (full, y**2 + x**2 <= (min(size) // 2) ** 2):
        assert overlay._roomiest(inside)[0] <= overlay._most_room(inside)
