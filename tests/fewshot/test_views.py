"""Views of whole images: their size, labels and objects, and the pool that is encoded once."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from segtune.backbones.seem.model import random_seem
from segtune.errors import DataError
from segtune.fewshot.views import (
    EncodedViews,
    View,
    ViewConfig,
    Views,
    encode,
    rounded_up,
    same_size,
)
from segtune.ops.mask_targets import MaskTargets
from segtune.systems import build_system
from segtune.systems.base import Targets, Words
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary

WORDS = Vocabulary((Concept("star"), Concept("grass", kind="stuff")))
WHOLE = ViewConfig(32, None, scale=(1.0, 1.0), flip=False, distort=False)
SIZES = ((32, 48), (64, 40), (32, 32))


@dataclass(frozen=True)
class Samples:
    """Images of different size; a thing, a crowd, an unnamed object, and stuff in the label map."""

    name: str = "few"
    split: str = "train"
    vocabulary: Vocabulary = WORDS

    def __len__(self) -> int:
        return len(SIZES)

    def sample_id(self, index: int) -> str:
        return f"image-{index}"

    def __getitem__(self, index: int) -> Sample:
        size = SIZES[index]
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        thing, crowd, unnamed = (np.zeros(size, bool) for _ in range(3))
        thing[4:20, 2:10], crowd[-4:, -4:], unnamed[-8:-4, -8:-4] = True, True, True
        semantic = np.where(thing, 0, 1).astype(np.int32)
        semantic[:2] = IGNORE
        objects = (
            Instance(0, thing),
            Instance(0, crowd, is_crowd=True),
            Instance(IGNORE, unnamed),
        )
        return Sample(self.sample_id(index), image, semantic, objects)


@pytest.fixture(scope="module")
def seem():
    return random_seem()


@pytest.fixture(scope="module")
def words():
    generator = torch.Generator().manual_seed(0)
    embeds = torch.nn.functional.normalize(torch.randn(3, 16, generator=generator), dim=-1)
    return Words(embeds[:2], names=("star", "grass"), background=embeds[2])


def system_of(seem, words, name="ssprompt", **options):
    system = build_system(name, seem, {"classes": words.names, **options})
    system.start(words, seed=0)
    return system


# -- one view -----------------------------------------------------------------------------------


def test_a_whole_image_is_resized_by_its_short_side():
    views = Views(Samples(), WHOLE, seed=0)
    shapes = [tuple(views.view(i, 0).labels.shape) for i in range(3)]
    assert shapes == [(32, 48), (51, 32), (32, 32)]
    first, sample = views.view(0, 0), Samples()[0]
    expected = torch.from_numpy(sample.image).permute(2, 0, 1).float()
    torch.testing.assert_close(first.pixels, expected, atol=1e-4, rtol=0)
    assert torch.equal(first.labels, torch.from_numpy(sample.semantic).long())


def test_objects_are_named_and_single():
    view = Views(Samples(), WHOLE, seed=0).view(0, 0)
    assert view.masks.class_ids.tolist() == [0]
    assert torch.equal(view.masks.masks[0], torch.from_numpy(Samples()[0].instances[0].mask))


def test_mirroring_moves_labels_and_objects_along():
    views = Views(Samples(), replace(WHOLE, flip=True), seed=0)
    plain = Views(Samples(), WHOLE, seed=0).view(0, 0)
    mirrored = [
        view
        for view in (views.view(0, number) for number in range(12))
        if not torch.equal(view.labels, plain.labels)
    ]
    assert 0 < len(mirrored) < 12
    for view in mirrored:
        torch.testing.assert_close(view.pixels, plain.pixels.flip(-1))
        assert torch.equal(view.labels, plain.labels.flip(-1))
        assert torch.equal(view.masks.masks, plain.masks.masks.flip(-1))


def test_the_task_decides_what_an_object_is():
    ids = {
        task: Views(Samples(), WHOLE, seed=0, task=task).view(0, 0).masks.class_ids.tolist()
        for task in ("semantic", "instance", "panoptic")
    }
    assert ids == {"semantic": [0], "instance": [0], "panoptic": [0, 1]}


def test_views_depend_on_seed_image_and_number_only():
    config = replace(WHOLE, scale=(0.5, 2.0), flip=True, distort=True)
    one = Views(Samples(), config, seed=3).view(1, 5)
    torch.rand(4)
    views = Views(Samples(), config, seed=3)
    views.view(0, 0)
    again = views.view(1, 5, keep=True)
    assert torch.equal(one.pixels, again.pixels)
    assert torch.equal(one.labels, again.labels)
    other = [views.view(1, 6), Views(Samples(), config, seed=4).view(1, 5)]
    assert all(view.pixels.shape != one.pixels.shape for view in other)


def test_labels_are_needed_for_the_semantic_task_only():
    class Unlabelled(Samples):
        def __getitem__(self, index: int) -> Sample:
            return replace(super().__getitem__(index), semantic=None)

    with pytest.raises(DataError, match="'image-1' of few has no label map"):
        Views(Unlabelled(), WHOLE, seed=0).view(1, 0)
    view = Views(Unlabelled(), WHOLE, seed=0, task="instance").view(1, 0)
    assert (view.labels == IGNORE).all()
    assert len(view.masks) == 1


# -- one size -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "stride", "expected"),
    [
        ([(32, 48)], 32, (32, 64)),
        ([(32, 64), (51, 32)], 32, (64, 64)),
        ([(1, 1)], 32, (32, 32)),
        ([(7, 9), (8, 3)], 1, (8, 9)),
    ],
)
def test_sizes_are_rounded_up(sizes, stride, expected):
    assert rounded_up(sizes, stride) == expected


def test_padding_is_colourless_unlabelled_and_in_no_mask():
    view = View(
        torch.full((3, 2, 3), 7.0),
        torch.ones(2, 3, dtype=torch.long),
        MaskTargets(torch.tensor([1]), torch.ones(1, 2, 3, dtype=torch.bool)),
    )
    (padded,) = same_size([view], (4, 5), (1.0, 2.0, 3.0))
    assert torch.equal(padded.pixels[:, :2, :3], view.pixels)
    for channel, value in enumerate((1.0, 2.0, 3.0)):
        outside = padded.pixels[channel].clone()
        outside[:2, :3] = value
        assert (outside == value).all()
    assert padded.labels.tolist() == [[1, 1, 1, -1, -1]] * 2 + [[-1] * 5] * 2
    assert padded.masks.masks.shape == (1, 4, 5)
    assert padded.masks.masks.sum() == 6
    assert same_size([view], None, (0.0, 0.0, 0.0)) == [view]


def test_a_view_without_objects_is_padded_too():
    nothing = MaskTargets(torch.zeros(0, dtype=torch.long), torch.zeros(0, 2, 3, dtype=torch.bool))
    view = View(torch.zeros(3, 2, 3), torch.zeros(2, 3, dtype=torch.long), nothing)
    assert same_size([view], (4, 4), (0.0, 0.0, 0.0))[0].masks.masks.shape == (0, 4, 4)


# -- the pool -----------------------------------------------------------------------------------


def test_all_views_of_a_pool_have_one_size(seem, words):
    system = system_of(seem, words)
    views = Views(Samples(), replace(WHOLE, flip=True), seed=0)
    pool = EncodedViews(system, views, num_views=2, progress=False)
    features, labels, masks = pool.batch([(0, 0), (1, 1), (2, 0)])
    assert labels.shape == (3, 64, 64)  # 51 x 32 and 32 x 48, in multiples of 32
    assert features.grid == (16, 16)
    assert [tuple(m.masks.shape) for m in masks] == [(1, 64, 64)] * 3
    assert (labels[0, 32:] == IGNORE).all()
    assert (labels[0, :, 48:] == IGNORE).all()


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
@pytest.mark.parametrize("name", ["ssprompt", "semprompt", "vspl"])
def test_stored_features_teach_what_fresh_ones_do(seem, words, name, task):
    """Specification j.4: equal losses and gradients with and without the pool."""
    options = {"point_grid": 2} if name == "vspl" else {"embed_init": "noise"}
    system = system_of(seem, words, name, task=task, **options)
    views = Views(Samples(), replace(WHOLE, flip=True), seed=1, task=task)
    pool = EncodedViews(system, views, num_views=2, at_once=4, progress=False)
    pairs = [(0, 1), (1, 0), (1, 1), (2, 0)]
    drawn = same_size([views.view(*pair) for pair in pairs], (64, 64), system.padding)
    fresh = encode(system, drawn)
    stored, labels, masks = pool.batch(pairs)
    assert torch.equal(labels, torch.stack([view.labels for view in drawn]))
    targets = Targets(labels, masks)
    found = []
    for features in (fresh, stored):
        system.prompts.zero_grad()
        losses = system.loss(features, words, targets)
        sum(losses.values()).backward()
        values = [value.detach() for value in losses.values()]
        found.append([*values, *(p.grad.clone() for p in system.prompts.parameters())])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)


def test_padded_pixels_are_zero_inside_of_the_model(seem, words):
    """What a batch of different sizes adds is what the model itself would have padded with."""
    system = system_of(seem, words)
    views = Views(Samples(), WHOLE, seed=0)
    (padded,) = same_size([views.view(0, 0)], (32, 64), system.padding)
    outside = encode(system, [padded])
    own = system.encode(views.view(0, 0).pixels[None])
    for key, value in own.tensors.items():
        torch.testing.assert_close(outside.tensors[key], value, atol=1e-5, rtol=1e-5)
