"""Memory that is predicted: what counts, and that what does not fit is said before it is tried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segtune.errors import ImageError
from segtune.predict.memory import bytes_needed, check_memory, size_of
from segtune.types import Sample

SEEM = SimpleNamespace(config=SimpleNamespace(num_queries=31))
CLIP = SimpleNamespace(config=None)
TWELVE = (3000, 4000)


def megabytes(model: object, task: str, num_words: int) -> float:
    return bytes_needed(model, TWELVE, task=task, num_words=num_words) / 2**20


def test_predictions_are_above_what_was_measured_and_not_twice_as_much() -> None:
    for model, task, num_words, measured in (
        (SEEM, "semantic", 4, 4144 - 488),
        (SEEM, "semantic", 847, 4143 - 488),
        (SEEM, "instance", 4, 3799 - 467),
        (CLIP, "semantic", 847, 2098 - 480),
    ):
        assert 0.95 * measured < megabytes(model, task, num_words) < 2 * measured


def test_words_masks_and_pixels_count() -> None:
    assert megabytes(CLIP, "semantic", 4) < megabytes(CLIP, "semantic", 847)
    assert megabytes(CLIP, "semantic", 847) == megabytes(CLIP, "semantic", 20_000)
    assert megabytes(SEEM, "panoptic", 4) < megabytes(SEEM, "semantic", 4)
    assert megabytes(SimpleNamespace(masks_at_original=200), "instance", 1) > megabytes(
        SEEM, "instance", 1
    )


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtune.predict.memory.free_memory", lambda: 2**30)
    with pytest.raises(ImageError, match=r"a.png has 4000x3000 pixels, .* semantic answers need"):
        check_memory(SEEM, TWELVE, task="semantic", num_words=4, name="a.png")
    check_memory(SEEM, (300, 400), task="semantic", num_words=4, name="a.png")
    monkeypatch.setattr("segtune.predict.memory.free_memory", lambda: None)
    check_memory(SEEM, TWELVE, task="semantic", num_words=4, name="a.png")


def test_sizes_of_files_and_arrays(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5)).save(tmp_path / "a.png")
    assert size_of(Sample("a", tmp_path / "a.png")) == (5, 7)
    assert size_of(Sample("a", np.zeros((2, 3, 3), np.uint8))) == (2, 3)
