import pytest
import torch

from segtune.data.examples import Example
from segtune.data.transforms import (
    Normalize,
    Pad,
    Pipeline,
    RandomCrop,
    RandomFlip,
    RandomScale,
    RandomShortSide,
    ResizeKeepRatio,
    maskformer_training,
    rpn_training,
)
from segtune.ops.normalisation import Normalisation
from tests.data.test_examples import example


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labelled(semantic: torch.Tensor) -> Example:
    height, width = semantic.shape
    return Example(
        "a",
        torch.rand(3, height, width) * 255,
        semantic,
        torch.zeros(0, height, width, dtype=torch.bool),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, dtype=torch.bool),
        (height, width),
    )


@pytest.mark.parametrize(
    ("size", "short", "long", "expected"),
    [
        ((40, 60), 20, None, (20, 30)),
        ((60, 40), 20, None, (30, 20)),
        ((40, 60), 80, 90, (60, 90)),
        ((33, 50), 33, 50, (33, 50)),
        ((1, 100), 10, 50, (1, 50)),
    ],
)
def test_resize_keep_ratio(
    size: tuple[int, int], short: int, long: int | None, expected: tuple[int, int]
) -> None:
    assert ResizeKeepRatio(short, long)(example(*size)).size == expected


def test_random_short_side_takes_every_choice_equally() -> None:
    resize, generator = RandomShortSide((8, 12, 20), long=30), seeded()
    sizes = [resize(example(10, 20), generator).size for _ in range(300)]
    counts = {size: sizes.count(size) for size in set(sizes)}
    assert set(counts) == {(8, 16), (12, 24), (15, 30)}  # 20 would make the long side 40
    assert min(counts.values()) > 75


def test_the_views_of_maskformer() -> None:
    """One size, padding is grey and unlabelled, colours stay in 0..255, one class is enough."""
    views, generator = maskformer_training(32, shorts=(16, 64)), seeded()
    semantic = torch.zeros(20, 20, dtype=torch.long)
    kinds = set()
    for _ in range(20):
        view = views(labelled(semantic), generator)
        assert view.image.shape == (3, 32, 32)
        assert view.image.min() >= 0
        assert view.image.max() <= 255
        height, width = view.valid_size
        assert view.semantic is not None
        assert (view.semantic[:height, :width] == 0).all()
        outside = view.semantic == -1
        assert int(outside.sum()) == 32 * 32 - height * width
        assert (view.image[:, outside] == 128).all()
        kinds.add((height, width))
    assert kinds == {(16, 16), (32, 32)}


def test_random_scale_stays_in_range_and_varies() -> None:
    scale = RandomScale(short=16, long=64, ratio=(0.5, 2.0))
    generator = seeded()
    sizes = [scale(example(10, 20), generator).size for _ in range(40)]
    shorts = [min(size) for size in sizes]
    assert 8 <= min(shorts) < 12
    assert 26 < max(shorts) <= 32
    assert all(abs(size[1] - 2 * size[0]) <= 1 for size in sizes)


def test_random_crop_leaves_small_sides() -> None:
    part = RandomCrop((3, 50))(example(10, 20), seeded())
    assert part.size == (3, 20)
    assert part.image[1, 0].tolist() == list(range(20))


def test_random_crop_covers_all_positions() -> None:
    crop = RandomCrop((1, 1), largest_share=1)
    generator = seeded()
    tops = {crop(example(3, 2), generator).image[0, 0, 0].item() for _ in range(40)}
    assert tops == {0.0, 1.0, 2.0}


def test_random_crop_looks_for_mixed_windows() -> None:
    semantic = torch.zeros(8, 40, dtype=torch.long)
    semantic[:, 20:] = 1
    semantic[:, :5] = -1
    crop = RandomCrop((8, 8), tries=200)
    for seed in range(10):
        part = crop(labelled(semantic), seeded(seed)).semantic
        assert part is not None
        share = (part == 0).sum() / (part >= 0).sum()
        assert 0.25 < share < 0.75


def test_random_crop_takes_the_last_window_where_none_is_mixed() -> None:
    part = RandomCrop((4, 4))(labelled(torch.zeros(8, 8, dtype=torch.long)), seeded())
    assert part.size == (4, 4)


@pytest.mark.parametrize(("probability", "flips"), [(0.0, False), (1.0, True)])
def test_random_flip(probability: float, flips: bool) -> None:
    part = RandomFlip(probability)(example(), seeded())
    assert (part.image[1, 0, 0] == 5) == flips


def test_normalize_and_pad_give_zero_padding() -> None:
    chain = Pipeline((Normalize(Normalisation((10, 20, 30), (1, 2, 4))), Pad((5, 7))))
    out = chain(example(), seeded())
    assert out.image[:, 2, 5].tolist() == [-8.0, -7.5, -7.5]
    assert (out.image[:, 4] == 0).all()
    assert out.semantic is not None
    assert (out.semantic[4] == -1).all()


def test_rpn_training_is_deterministic_by_seed() -> None:
    train = rpn_training(16)
    first, again, other = (train(example(20, 30), seeded(seed)) for seed in (1, 1, 2))
    assert first.size == (16, 16)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.semantic, again.semantic)
    assert not torch.equal(first.image, other.image)
    assert first.image.abs().max() < 3
