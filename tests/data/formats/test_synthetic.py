import pytest

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError, SegtuneError


def test_options() -> None:
    dataset = open_dataset("synthetic:base?size=64x96&length=3&seed=5", split="val")
    assert len(dataset) == 3
    assert dataset.split == "val"
    assert dataset[0].pixels().shape == (64, 96, 3)
    other = open_dataset("synthetic:base?size=64x96&length=3", split="val")
    assert (other[0].pixels() != dataset[0].pixels()).any()


def test_captions() -> None:
    said = {
        query: open_dataset(f"synthetic:base?size=64&length=20{query}", split="val")
        for query in ("", "&captions=5", "&captions=5&noise=1")
    }
    for i in range(20):
        assert said["&captions=5"][i].captions[0] == said[""][i].captions[0]
        assert len(said["&captions=5&noise=1"][i].captions) == 5
    assert len(set(said["&captions=5"][0].captions)) > 1
    assert any(
        said["&captions=5"][i].captions != said["&captions=5&noise=1"][i].captions
        for i in range(20)
    )


def test_defaults() -> None:
    dataset = open_dataset("synthetic:base")
    assert dataset.split == "train"
    assert dataset[0].pixels().shape == (192, 192, 3)
    assert {"train", "val", "test"} <= set(dataset_splits("synthetic:base"))


@pytest.mark.parametrize("option", ["size=big", "length=0", "seed=-1", "colour=red", "reveal=yes"])
def test_bad_options(option: str) -> None:
    with pytest.raises(DataError, match=rf"{option} is not an option of synthetic:base; possible"):
        open_dataset(f"synthetic:base?{option}")


def test_unknown_world_and_split() -> None:
    with pytest.raises(SegtuneError, match="nowhere"):
        open_dataset("synthetic:nowhere")
    with pytest.raises(SegtuneError, match="evening"):
        open_dataset("synthetic:base", split="evening")
    with pytest.raises(DataError, match="names its own classes"):
        open_dataset("synthetic:base", vocabulary="road")
