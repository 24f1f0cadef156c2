"""Point and box prompts of SEEM against the official code, and their promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segtune.backbones.decoders.masked_decoder import DecoderMemory, MaskedDecoder
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.reading.key_tables import load_strictly
from segtune.backbones.seem.decoder_keys import decoder_from_official, decoder_sizes_from
from segtune.backbones.seem.point_prompts import (
    MAX_POINTS,
    PointPrompts,
    answer_points,
    boxes_to_points,
    sample,
    wanted_features,
)
from segtune.errors import SegtuneError
from tests.goldens import Golden, close, goldens


def official(golden: Golden) -> tuple[MaskedDecoder, PointPrompts, DecoderMemory]:
    state, given = golden.part("state"), golden.part("in")
    decoder = MaskedDecoder(**decoder_sizes_from(state, num_heads=golden.config["nheads"]))
    decoder_state, points_state = decoder_from_official(state)
    load_strictly(decoder, decoder_state, "golden")
    slots, hidden = points_state["slot_content"].shape
    prompts = PointPrompts(hidden, num_slots=slots)
    load_strictly(prompts, points_state, "golden")
    maps = [given[f"multi_scale_{level}"] for level in range(3)]
    return decoder.requires_grad_(False), prompts, decoder.prepare(maps, given["mask_features"])


def points_of(given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """One prompt per image, positives first, in row-major order, padded."""
    height, width = given["positive_points"].shape[-2:]
    points, labels = [], []
    for image in range(len(given["positive_points"])):
        places = [given[f"{sign}_points"][image, 0].nonzero() for sign in ("positive", "negative")]
        labels.append(torch.cat([torch.full((len(p),), 1 - i) for i, p in enumerate(places)]))
        rows, columns = torch.cat(places).T
        points.append(torch.stack([columns / width, rows / height], -1))
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad(points, batch_first=True)[:, None],
        pad(labels, batch_first=True, padding_value=-1)[:, None],
    )


@pytest.mark.golden
def test_tokens_target_and_mask_are_the_official_ones():
    for golden in goldens("seem_decoder_spatial"):
        decoder, prompts, memory = official(golden)
        out = golden.part("out")
        points, labels = points_of(golden.part("in"))
        tokens = prompts.tokens(memory, points, labels)
        for level, content in enumerate(tokens.content):
            expected = out[f"prompt/src_spatial_queries_{level}"].transpose(0, 1)
            padding = out[f"prompt/src_spatial_maskings_{level}"]
            assert torch.equal(tokens.padding, padding)
            close(content[~padding], expected[~padding])
        wanted = wanted_features(memory, points, labels)
        close(wanted[:, 0], out["prompt/spatial_query_pos"][0])
        negatives = torch.where(labels == -1, -1, 1 - labels)
        unwanted = wanted_features(memory, points, negatives)
        close(unwanted[:, 0], out["prompt/spatial_query_neg"][0])
        queries = QueryGroup(decoder.query_content, decoder.query_position)
        found = answer_points(decoder, prompts, memory, queries, points, labels)
        close(found.mask_logits, out["prev_mask"])


@pytest.fixture
def parts() -> tuple[MaskedDecoder, PointPrompts, DecoderMemory, QueryGroup]:
    torch.manual_seed(0)
    decoder = MaskedDecoder(
        hidden=32, num_queries=6, num_layers=3, num_heads=4, feedforward=48, mask_dim=24,
        joint_width=16,
    )  # fmt: skip
    decoder.requires_grad_(False)
    maps = [torch.randn(2, 32, *size) for size in ((2, 3), (4, 6), (8, 12))]
    memory = decoder.prepare(maps, torch.randn(2, 24, 16, 24))
    queries = QueryGroup(decoder.query_content, decoder.query_position)
    prompts = PointPrompts(32).requires_grad_(False)
    return decoder, prompts, memory, queries


def test_prompts_do_not_influence_each_other(parts):
    decoder, prompts, memory, queries = parts
    points, labels = torch.rand(2, 3, 4, 2), torch.tensor([1, 0, 1, -1]).expand(2, 3, 4)
    text = torch.randn(5, 16)
    together = answer_points(decoder, prompts, memory, queries, points, labels, text=text)
    assert together.mask_logits.shape == (2, 3, 16, 24)
    assert together.class_logits.shape == (2, 3, 5)
    for image in range(2):
        for prompt in range(3):
            one = points[image, prompt, :3][None, None], labels[image, prompt, :3][None, None]
            alone = answer_points(decoder, prompts, memory.rows([image]), queries, *one)
            expected = together.mask_logits[image, prompt]
            torch.testing.assert_close(alone.mask_logits[0, 0], expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_points_only(parts):
    decoder, prompts, memory, queries = parts
    points = torch.rand(2, 2, 3, 2, requires_grad=True)
    answer_points(decoder, prompts, memory, queries, points).mask_logits.sum().backward()
    assert (points.grad.abs().sum((2, 3)) > 0).all()


def test_random_copies_are_drawn_by_the_generator(parts):
    decoder, prompts, memory, queries = parts
    points = torch.rand(2, 5, 1, 2)

    def masks(copies: int | None, seed: int | None = None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found = answer_points(
            decoder, prompts, memory, queries, points, num_copies=copies, generator=generator
        )
        return found.mask_logits

    assert torch.equal(masks(3), masks(3))
    assert torch.equal(masks(3, 1), masks(3, 1))
    assert not torch.equal(masks(3, 1), masks(3, 2))
    assert torch.equal(masks(None), masks(6))


def test_many_points_are_thinned_out(parts):
    _, prompts, memory, _ = parts
    points, labels = torch.rand(2, 1, MAX_POINTS + 90, 2), torch.ones(2, 1, MAX_POINTS + 90).long()
    tokens = prompts.tokens(memory, points, labels, generator=torch.Generator().manual_seed(3))
    assert tokens.shape == (2, MAX_POINTS, 32)
    every = torch.cat(
        [prompts.tokens(memory, p, la).content[0] for p, la in
         zip(points.split(301, 2), labels.split(301, 2), strict=True)], 1
    )  # fmt: skip
    kept = tokens.content[0][0]
    distance = (kept[:, None] - every[0]).abs().amax(-1).amin(1)
    assert distance.max() < 1e-5


@pytest.mark.parametrize(("x", "y", "expected"), [(0, 0, 0.0), (1, 1, 5.0), (0.5, 1, 4.0)])
def test_sampling_puts_0_and_1_at_cell_centres(x, y, expected):
    maps = torch.tensor([[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]])
    assert sample(maps, torch.tensor([[[[float(x), float(y)]]]])).item() == expected


def test_wanted_features_are_means_over_positive_points(parts):
    memory = parts[2]
    points, labels = torch.rand(2, 2, 4, 2), torch.tensor([1, 1, 0, -1]).expand(2, 2, 4)
    found = wanted_features(memory, points, labels)
    expected = sample(memory.mask_features, points[:, :, :2]).mean(2)
    torch.testing.assert_close(found, expected)


def test_boxes_become_grids():
    boxes = torch.tensor([[[0.0, 0.2, 1.0, 0.4], [0.5, 0.5, 0.5, 0.5]]])
    points, labels = boxes_to_points(boxes, per_side=3)
    assert points.shape == (1, 2, 9, 2)
    assert labels.dtype == torch.int64
    assert bool((labels == 1).all())
    torch.testing.assert_close(points[0, 0, 0], torch.tensor([1 / 6, 0.2 + 0.2 / 6]))
    assert (points[0, 1] == 0.5).all()


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (torch.zeros(2, 3, 2), torch.ones(2, 3), "expected \\(2, P, T, 2\\)"),
        (torch.zeros(1, 1, 3, 2), torch.ones(1, 1, 3), "expected \\(2, P, T, 2\\)"),
        (torch.zeros(2, 1, 3, 2), torch.ones(2, 3), "one per point"),
        (torch.zeros(2, 1, 3, 2), torch.zeros(2, 1, 3), "no positive point"),
        (torch.zeros(2, 1, 0, 2), torch.zeros(2, 1, 0), "no positive point"),
    ],
)
def test_bad_points(parts, points, labels, message):
    decoder, prompts, memory, queries = parts
    with pytest.raises(SegtuneError, match=message):
        answer_points(decoder, prompts, memory, queries, points, labels.long())


def test_no_prompts_give_no_answers(parts):
    decoder, prompts, memory, queries = parts
    found = answer_points(decoder, prompts, memory, queries, torch.zeros(2, 0, 1, 2))
    assert found.mask_logits.shape == (2, 0, 16, 24)
