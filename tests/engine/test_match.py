import numpy as np
import pytest

from segtune.engine.match import Filters, match_nouns
from segtune.errors import SegtuneError

AXES = np.eye(4, dtype=np.float32)


def chosen(matches):
    return [(match.noun, match.region) for match in matches]


def test_equals_the_obvious_loop():
    rng = np.random.default_rng(0)
    nouns, regions = rng.normal(size=(7, 5)), rng.normal(size=(9, 5))
    nouns /= np.linalg.norm(nouns, axis=1, keepdims=True)
    regions /= np.linalg.norm(regions, axis=1, keepdims=True)
    for match, noun in zip(match_nouns(nouns, regions), nouns, strict=True):
        scores = [float(np.dot(noun, region)) for region in regions]
        ranked = sorted(scores, reverse=True)
        assert match.region == scores.index(ranked[0])
        assert match.score == pytest.approx(ranked[0])
        assert match.margin == pytest.approx(ranked[0] - ranked[1])


def test_nouns_may_share_a_region_and_the_first_of_equals_wins():
    regions = AXES[[1, 1, 2]]
    assert chosen(match_nouns(AXES[[1, 2, 1]], regions)) == [(0, 0), (1, 2), (2, 0)]


def test_one_region_has_no_rival():
    (match,) = match_nouns(AXES[:1], AXES[:1])
    assert match.margin == float("inf")
    assert chosen(match_nouns(AXES[:1], AXES[:1], filters=Filters(min_margin=1.0))) == [(0, 0)]


@pytest.mark.parametrize(("nouns", "regions"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_match(nouns, regions):
    assert match_nouns(AXES[:nouns], AXES[:regions]) == []


def test_regions_that_are_too_small_are_no_candidates():
    areas = np.array([0.001, 0.2, 0.3])
    nouns, regions = AXES[[0]] + 0.5 * AXES[[1]], AXES[:3]
    assert chosen(match_nouns(nouns, regions, areas=areas)) == [(0, 0)]
    small = Filters(min_area=0.01)
    assert chosen(match_nouns(nouns, regions, areas=areas, filters=small)) == [(0, 1)]
    assert match_nouns(nouns, regions, areas=areas, filters=Filters(min_area=1.0)) == []


def test_margin_and_top():
    nouns = np.stack([AXES[0], (AXES[0] + AXES[1]) / 2**0.5, AXES[2] * 0.9])
    assert chosen(match_nouns(nouns, AXES, filters=Filters(min_margin=0.1))) == [(0, 0), (2, 2)]
    assert chosen(match_nouns(nouns[::-1], AXES, filters=Filters(top=2))) == [(0, 2), (2, 0)]


def test_bad_filters_are_one_line():
    with pytest.raises(SegtuneError, match="min_area is 2"):
        Filters(min_area=2)
    for name in ("top", "per_noun"):
        with pytest.raises(SegtuneError, match="whole numbers from 1 on"):
            Filters(**{name: 0})
