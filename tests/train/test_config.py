import subprocess
import sys

import pytest

from segtune.errors import SegtuneError
from segtune.train.config import LoopConfig


def test_rates_decay_to_the_floor_after_a_tenth_of_warmup() -> None:
    config = LoopConfig(steps=100, warmup=1500, min_lr=0.1)
    assert config.rate(0, 1.0) < 1e-5
    assert config.rate(5, 1.0) == pytest.approx(0.5 * (0.1 + 0.9 * 0.95**0.9), rel=1e-3)
    assert config.rate(10, 1.0) == pytest.approx(0.1 + 0.9 * 0.9**0.9)
    assert config.rate(100, 1.0) == 0.1
    assert config.rate(50, 0.0) == 0.0  # a group that stays


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"warmup": -1},
        {"save_every": 0},
        {"weight_decay": -0.1},
        {"clip_norm": 0.0},
    ],
)
def test_values_that_make_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(SegtuneError, match=next(iter(change))):
        LoopConfig(**change)  # type: ignore[arg-type]


def test_it_needs_no_torch() -> None:
    script = "import sys, segtune.train.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
