import numpy as np
import torch

from segtune.data.examples import (
    Example,
    cropped,
    from_sample,
    mirrored,
    padded,
    resized,
    to_batch,
)
from segtune.types import Instance, Sample


def example(height: int = 4, width: int = 6, *, semantic: bool = True) -> Example:
    """Pixel (y, x) has red y, green x; the map counts pixels; one instance at the top left."""
    ys, xs = np.mgrid[:height, :width]
    pixels = np.stack([ys, xs, ys * 0], axis=-1).astype(np.uint8)
    mask = (ys < 2) & (xs < 2)
    labels = (ys * width + xs).astype(np.int32)
    instances = (Instance(7, mask), Instance(3, ~mask, is_crowd=True))
    return from_sample(Sample("a", pixels, labels if semantic else None, instances))


def test_from_sample() -> None:
    made = example()
    assert made.image.shape == (3, 4, 6)
    assert made.image[:, 2, 5].tolist() == [2.0, 5.0, 0.0]
    assert made.semantic is not None
    assert made.semantic.dtype == torch.int64
    assert made.class_ids.tolist() == [7, 3]
    assert made.is_crowd.tolist() == [False, True]
    assert made.masks.dtype == torch.bool
    assert made.valid_size == (4, 6)


def test_from_sample_without_labels() -> None:
    made = from_sample(Sample("a", np.zeros((4, 6, 3), np.uint8)))
    assert made.semantic is None
    assert made.masks.shape == (0, 4, 6)
    assert resized(made, (8, 12)).masks.shape == (0, 8, 12)
    assert cropped(made, (slice(0, 2), slice(0, 3))).masks.shape == (0, 2, 3)


def test_resized_moves_all_alike() -> None:
    big = resized(example(), (8, 12))
    assert big.size == big.valid_size == (8, 12)
    assert big.semantic is not None
    assert big.semantic[:, 0].tolist() == [0, 0, 6, 6, 12, 12, 18, 18]
    assert big.masks[0].nonzero().amax(0).tolist() == [3, 3]
    small = resized(big, (4, 6), antialias=False)
    assert torch.equal(small.semantic, example().semantic)
    assert torch.equal(small.masks, example().masks)
    assert (small.image - example().image)[:, 1:-1, 1:-1].abs().max() < 1e-5


def test_resized_to_odd_sizes_takes_pixel_centres() -> None:
    wide = Example(
        "a",
        torch.zeros(3, 1, 5),
        torch.arange(5)[None],
        torch.zeros(0, 1, 5, dtype=torch.bool),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, dtype=torch.bool),
        (1, 5),
    )
    shrunk = resized(wide, (1, 3))
    assert shrunk.semantic is not None
    assert shrunk.semantic[0].tolist() == [0, 2, 4]


def test_cropped_drops_instances_outside() -> None:
    part = cropped(example(), (slice(2, 4), slice(1, 4)))
    assert part.image[:2, 0, 0].tolist() == [2.0, 1.0]
    assert part.semantic is not None
    assert part.semantic.tolist() == [[13, 14, 15], [19, 20, 21]]
    assert part.class_ids.tolist() == [3]
    assert part.is_crowd.tolist() == [True]
    assert part.valid_size == (2, 3)


def test_mirrored_twice_is_the_same() -> None:
    once, twice = mirrored(example()), mirrored(mirrored(example()))
    assert once.image[1, 0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert once.masks[0, 0].tolist() == [False] * 4 + [True] * 2
    assert torch.equal(twice.image, example().image)
    assert torch.equal(twice.semantic, example().semantic)


def test_padded_keeps_the_valid_size() -> None:
    more = padded(example(), (5, 9))
    assert more.size == (5, 9)
    assert more.valid_size == (4, 6)
    assert more.image[:, 4].abs().sum() == 0
    assert more.semantic is not None
    assert (more.semantic[:, 6:] == -1).all()
    assert not more.masks[:, 4].any()
    assert padded(more, (2, 2)).size == (5, 9)


def test_to_batch_pads_to_the_largest() -> None:
    batch = to_batch([example(4, 6), example(5, 3)])
    assert batch.image.shape == (2, 3, 5, 6)
    assert batch.semantic is not None
    assert batch.semantic.shape == (2, 5, 6)
    assert (batch.semantic[1, :, 3:] == -1).all()
    assert [masks.shape for masks in batch.masks] == [(2, 5, 6), (2, 5, 6)]
    assert batch.valid_sizes == ((4, 6), (5, 3))
    assert to_batch([example(), example(semantic=False)]).semantic is None
