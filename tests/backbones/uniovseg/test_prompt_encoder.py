"""The prompt encoder against the public code, and what its several clicks promise."""

import pytest
import torch

from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.uniovseg.prompt_encoder import PromptEncoder
from tests.goldens import close, goldens, notices_every_weight

from .official import Parts

COMPONENT = "uniovseg_prompt_decoder"
KINDS = ("point", "box")


@pytest.mark.golden
@pytest.mark.parametrize("kind", KINDS)
def test_tokens(kind):
    for golden in goldens(COMPONENT):
        parts, out = Parts(golden), golden.part(f"outputs.{kind}")
        prompts = parts.prompts(kind)
        close(prompts.tokens, out["query_tokens"])
        assert len(prompts.slots) == out["pred_ious"].shape[-1]
        boxes = parts.inputs["boxes_xyxy" if kind == "box" else "points_xyxy"]
        close(parts.encoder.content(boxes, parts.features, parts.size), out["content"])


@pytest.mark.golden
def test_one_wrong_weight_is_noticed():
    golden = goldens(COMPONENT)[0]
    parts = Parts(golden)

    def compare():
        for kind in KINDS:
            close(parts.prompts(kind).tokens, golden[f"outputs.{kind}.query_tokens"])

    signs = parts.encoder.signs[0].clone()  # of clicks beside an object, which the golden lacks
    notices_every_weight(parts.encoder, compare)
    assert torch.equal(parts.encoder.signs[0], signs)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return PromptEncoder(16)


FEATURES, SIZE = torch.randn(1, 16, 8, 8), (32, 32)


def test_one_click_on_an_object_has_the_tokens_of_a_point(encoder):
    point = torch.tensor([[[10.0, 20.0]]])
    positive = torch.ones(1, 1, 1, dtype=torch.bool)
    once = encoder.clicks(point[:, :, None], positive, FEATURES, SIZE)
    single = encoder.points(point, FEATURES, SIZE)
    assert torch.equal(once.tokens, single.tokens)
    assert once.slots == (0,)
    assert single.slots == (1, 2, 3, 4)


def test_several_clicks_are_the_corners_of_each_and_a_sign(encoder):
    points = torch.tensor([[[10.0, 20.0], [3.0, 4.0]]])
    signs = torch.tensor([[[True, False]]])
    both = encoder.clicks(points[:, None], signs, FEATURES, SIZE)
    assert both.tokens.shape == (1, 1, 2 * 2 + 5, 16)
    assert both.num_corners == 4
    single = encoder.points(points, FEATURES, SIZE)
    torch.testing.assert_close(both.tokens[0, 0, :2], single.tokens[0, 0, :2])
    shift = encoder.signs[0] - encoder.signs[1]
    torch.testing.assert_close(both.tokens[0, 0, 2:4], single.tokens[0, 1, :2] + shift)


def test_no_prompts(encoder):
    assert encoder.points(torch.zeros(1, 0, 2), FEATURES, SIZE).tokens.shape == (1, 0, 7, 16)
    assert encoder.boxes(torch.zeros(1, 0, 4), FEATURES, SIZE).tokens.shape == (1, 0, 7, 16)


def test_it_has_as_few_numbers_as_the_published_one():
    encoder = PromptEncoder(256)
    assert sum(p.numel() for p in encoder.parameters()) == 2816


@pytest.mark.parametrize("encoding", [SinePositions, FourierPositions])
def test_points_and_maps_are_encoded_alike(encoding):
    """A point at the centre of a position has the encoding of that position."""
    torch.manual_seed(0)
    positions = encoding(8)
    grid = positions(torch.zeros(()), (3, 4))
    # The sines of a map count its positions from 1, up to the size.
    shift = 1.0 if encoding is SinePositions else 0.5
    point = torch.tensor([(2 + shift) / 4, (1 + shift) / 3])
    torch.testing.assert_close(positions.at(point), grid[:, 1, 2], atol=1e-5, rtol=0)
