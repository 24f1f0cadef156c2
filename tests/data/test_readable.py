"""Samples that cannot be read are left out and named."""

from pathlib import Path

from segtune.data.checks.left_out import left_out_of
from segtune.data.formats import open_dataset
from segtune.data.readable import readable
from tests.data import trees


def test_a_sound_dataset_stays_itself(tmp_path: Path) -> None:
    trees.index_png(tmp_path)
    dataset = open_dataset(tmp_path)
    assert readable(dataset) is dataset


def test_missing_and_misfit_files(tmp_path: Path) -> None:
    trees.index_png(tmp_path, names=("a", "b", "c"))
    dataset = open_dataset(tmp_path)
    (tmp_path / "images" / "a.jpg").unlink()
    trees.save_map(tmp_path / "labels" / "c.png", trees.noise(0, 2, size=(7, 8)))
    good = readable(dataset)
    assert [good.sample_id(i) for i in range(len(good))] == ["b"]
    assert "a.jpg does not exist" in left_out_of(good)[0].name
    assert "c.png is 8x7 but its image" in left_out_of(good)[1].name
