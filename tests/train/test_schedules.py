import math

import pytest

from segtune.errors import SegtuneError
from segtune.train.schedules import cosine_with_warmup, poly_with_warmup


def slow_poly(step: int, base_lr: float, steps: int) -> float:
    """mmcv's PolyLrUpdaterHook and its linear warm-up, written as the formulas stand there."""
    coefficient = (1 - step / steps) ** 0.9
    regular = (base_lr - 1e-6) * coefficient + 1e-6
    if step < 1500:
        k = (1 - step / 1500) * (1 - 1e-6)
        return regular * (1 - k)
    return regular


@pytest.mark.parametrize("step", [0, 1, 749, 1499, 1500, 1501, 10_000, 19_999, 20_000])
@pytest.mark.parametrize("base_lr", [2e-5, 2e-4])
def test_poly_equals_mmcv(step: int, base_lr: float) -> None:
    ours = poly_with_warmup(step, base_lr=base_lr, steps=20_000)
    assert math.isclose(ours, slow_poly(step, base_lr, 20_000), rel_tol=1e-12)


def test_poly_ends_at_the_floor_and_stays_there() -> None:
    for step in (100, 101, 500):
        rate = poly_with_warmup(step, base_lr=1e-3, steps=100, warmup=0)
        assert rate == pytest.approx(1e-6)


def test_poly_never_raises_a_rate_below_the_floor() -> None:
    for step in (0, 50, 100):
        assert poly_with_warmup(step, base_lr=1e-8, steps=100, warmup=0) == 1e-8
    assert poly_with_warmup(5, base_lr=0.0, steps=100) == 0.0


def test_cosine_rises_then_falls() -> None:
    rates = [cosine_with_warmup(s, base_lr=2.0, steps=50, warmup=10, min_lr=0.1) for s in range(51)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[50] == pytest.approx(0.1)


def test_cosine_without_warmup_and_with_nothing_else() -> None:
    def rate(step: int, warmup: int) -> float:
        return cosine_with_warmup(step, base_lr=1.0, steps=4, warmup=warmup)

    assert rate(0, 0) == 1.0
    assert [rate(s, 4) for s in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("step", "steps"), [(-1, 10), (0, 0)])
def test_impossible_steps_are_refused(step: int, steps: int) -> None:
    with pytest.raises(SegtuneError, match="step"):
        poly_with_warmup(step, base_lr=1.0, steps=steps)
    with pytest.raises(SegtuneError, match="step"):
        cosine_with_warmup(step, base_lr=1.0, steps=steps, warmup=0)
