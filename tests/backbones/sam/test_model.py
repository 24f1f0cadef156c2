"""SAM and SAM 2: the same masks as `transformers`, and prompt tokens that can be learned."""

import pytest
import torch

from segtune.backbones.sam.model import grid_points, stability
from segtune.backbones.sam.random import random_sam
from segtune.errors import SegtuneError
from segtune.ops.resize import to_original
from segtune.types import Geometry

KINDS = ["sam", "sam2"]


@pytest.fixture(params=KINDS)
def sam(request):
    return random_sam(request.param)


def _pixels(batch=2, size=(48, 64), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, *size, generator=generator) * 255


def _clicks(points, labels=None):
    """Points 0..1 as `transformers` takes them: pixels of the input, with a batch axis."""
    labels = torch.ones(points.shape[:-1], dtype=torch.long) if labels is None else labels
    return points[None] * 64, labels[None]


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (100, 30)])
def test_decode_equals_forward(sam, size, multimask):
    pixels = _pixels(size=size)
    points = grid_points(3)[:, None]
    clicks, labels = (value.expand(2, *value.shape[1:]) for value in _clicks(points))
    with torch.no_grad():
        expected = sam.model(sam.preprocess(pixels), clicks, labels, multimask_output=multimask)
        masks, iou = sam.decode(sam.features(pixels), sam.default_tokens(3), multimask=multimask)
    assert masks.shape == (2, 9, 3 if multimask else 1, *masks.shape[-2:])
    assert torch.equal(masks, expected.pred_masks)
    assert torch.equal(iou, expected.iou_scores)


def test_boxes_and_labelled_clicks_equal_forward(sam):
    features = sam.features(_pixels(1))
    maps = sam.model.get_image_embeddings(sam.preprocess(_pixels(1)))
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0]])
    expected = sam.model(input_boxes=boxes[None] * 64, image_embeddings=maps)
    masks, _ = sam.decode(features, sam.tokens_of_boxes(boxes), multimask=True)
    assert torch.equal(masks, expected.pred_masks)

    points, labels = torch.rand(2, 3, 2), torch.tensor([[1, 0, 1], [1, 0, -1]])
    expected = sam.model(None, *_clicks(points, labels), image_embeddings=maps)
    masks, _ = sam.decode(features, sam.tokens_of_points(points, labels), multimask=True)
    assert torch.equal(masks, expected.pred_masks)


def test_prompts_of_each_image(sam):
    features, points = sam.features(_pixels()), torch.rand(2, 4, 1, 2)
    masks, _ = sam.decode(features, sam.tokens_of_points(points))
    for i in range(2):
        one = {key: value[i : i + 1] for key, value in features.items()}
        alone, _ = sam.decode(one, sam.tokens_of_points(points[i]))
        assert torch.allclose(masks[i : i + 1], alone, atol=1e-6)
    assert sam.tokens_of_boxes(torch.rand(2, 4, 4)).shape[:2] == (2, 4)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("recompute", [False, True])
def test_chunks_change_nothing(sam, chunk, recompute):
    features = sam.features(_pixels(1))
    tokens = sam.default_tokens(3)
    masks, iou = sam.decode(features, tokens)
    chunked = sam.decode(features, tokens, chunk=chunk, recompute=recompute)
    assert torch.allclose(chunked[0], masks, atol=1e-6)
    assert torch.allclose(chunked[1], iou, atol=1e-6)


def test_gradients_reach_tokens_only(sam):
    features = sam.features(_pixels(1))
    assert not any(value.requires_grad for value in features.values())
    tokens = sam.default_tokens(2).requires_grad_()
    grads = []
    for recompute in (False, True):
        masks, _ = sam.decode(features, tokens, chunk=3, recompute=recompute)
        grads.append(torch.autograd.grad(masks.square().mean(), tokens)[0])
    assert (grads[0].abs().sum((1, 2)) > 0).all()
    assert torch.allclose(*grads, atol=1e-7)
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_gradients_reach_coordinates(sam):
    points = grid_points(2)[:, None].requires_grad_()
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9]], requires_grad=True)
    features = sam.features(_pixels(1))
    for coords, tokens in (
        (points, sam.tokens_of_points(points)),
        (boxes, sam.tokens_of_boxes(boxes)),
    ):
        masks, _ = sam.decode(features, tokens)
        (gradient,) = torch.autograd.grad(masks.square().mean(), coords)
        assert gradient.abs().sum() > 0


def test_unstable_masks_of_sam2_are_replaced_only_without_gradient():
    sam = random_sam("sam2")
    features = sam.features(_pixels(1))
    tokens = sam.default_tokens(3)
    replaced, _ = sam.decode(features, tokens)
    plain, _ = sam.decode(features, tokens, replace_unstable=False)
    assert not torch.equal(replaced, plain)  # random masks are unstable
    trained, _ = sam.decode(features, tokens.clone().requires_grad_())
    assert torch.equal(trained, plain)
    assert torch.equal(sam.decode(features, tokens)[0], replaced)  # the model is as it was


def test_default_tokens(sam):
    tokens = sam.default_tokens(10)
    assert tokens.shape == (100, 2, sam.width)
    assert torch.equal(tokens[:1, 1].expand(100, -1), tokens[:, 1])  # the padding token
    assert len(tokens[:, 0].unique(dim=0)) == 100


def test_no_prompts(sam):
    masks, iou = sam.decode(sam.features(_pixels()), torch.zeros(0, 2, sam.width), multimask=True)
    one, _ = sam.decode(sam.features(_pixels()), sam.default_tokens(1))
    assert masks.shape == (2, 0, 3, *one.shape[-2:])
    assert iou.shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("kind", "size", "resized"),
    [
        ("sam", (48, 64), (48, 64)),
        ("sam", (100, 30), (64, 19)),
        ("sam", (1, 500), (1, 64)),
        ("sam2", (100, 30), (64, 64)),
    ],
)
def test_geometry(kind, size, resized):
    sam = random_sam(kind)
    assert sam.geometry(*size) == Geometry(size, resized, (64, 64))
    images = sam.preprocess(torch.full((1, 3, *size), 255.0))
    white = sam.normalisation.apply(torch.full((3, 1, 1), 255.0))[:, 0, 0]
    assert images.shape == (1, 3, 64, 64)
    assert torch.allclose(images[0, :, : resized[0], : resized[1]], white[:, None, None], atol=1e-5)
    assert not images[:, :, resized[0] :].any()
    assert not images[:, :, :, resized[1] :].any()
    logits, _ = sam.decode(sam.features(torch.zeros(1, 3, *size)), sam.default_tokens(1))
    assert to_original(logits[0, 0], sam.geometry(*size)).shape == (1, *size)


def test_to_input():
    sam = random_sam("sam")  # 100 x 30 becomes 64 x 19 in 64 x 64
    geometry = sam.geometry(100, 30)
    points = sam.to_input(torch.tensor([[30.0, 100.0], [15.0, 50.0]]), geometry)
    assert torch.allclose(points, torch.tensor([[19 / 64, 1.0], [9.5 / 64, 0.5]]))
    box = sam.to_input(torch.tensor([0.0, 0, 30, 50]), geometry)
    assert torch.allclose(box, torch.tensor([0, 0, 19 / 64, 0.5]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sam: sam.features(torch.zeros(3, 8, 8)), r"needs \(B, 3, H, W\)"),
        (lambda sam: sam.features(torch.zeros(1, 1, 8, 8)), r"needs \(B, 3, H, W\)"),
        (lambda sam: sam.tokens_of_points(torch.zeros(4, 2)), r"pass \(P, n, 2\)"),
        (lambda sam: sam.tokens_of_boxes(torch.zeros(4)), r"pass \(P, 4\)"),
        (lambda sam: sam.default_tokens(0), "at least one point"),
        (
            lambda sam: sam.decode(sam.features(_pixels()), torch.zeros(1, 2, 5)),
            r"\(P, T, 32\)",
        ),
        (
            lambda sam: sam.decode(sam.features(_pixels()), torch.zeros(3, 1, 2, 32)),
            r"\(2, P, T, 32\)",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(SegtuneError, match=message):
        call(random_sam("sam"))


def test_stability():
    logits = torch.tensor([[[2.0, 0.5], [-0.5, -2.0]], [[2.0, 2.0], [2.0, 2.0]]])
    assert stability(logits, 1.0).tolist() == [pytest.approx(1 / 3), 1.0]
    assert stability(torch.full((1, 2, 2), -9.0)).tolist() == [0.0]


def test_proposals(sam):
    features = sam.features(_pixels(size=(100, 30)))
    found = sam.proposals(
        features,
        grid=4,
        geometry=sam.geometry(100, 30),
        min_iou=-1,
        min_stability=0.0,
        max_overlap=0.9,
        chunk=5,
    )
    assert len(found) == 2
    for one in found:
        assert 1 <= len(one.scores) <= 48
        assert one.mask_logits.shape[0] == len(one.scores)
        assert (one.scores.diff() <= 0).all()
        assert one.scores.min() >= 0
    none = sam.proposals(features, grid=2, min_iou=2.0)
    assert none[0].mask_logits.shape == (0, *found[0].mask_logits.shape[1:])


def test_stays_frozen_and_knows_its_weights(sam):
    assert not sam.train().training
    assert not any(module.training for module in sam.modules())
    same, other = random_sam("sam"), random_sam("sam", seed=1)
    assert same.fingerprint == random_sam("sam").fingerprint != other.fingerprint


def test_features_survive_a_cache(sam):
    features = sam.features(_pixels(1))
    stored = {key: v.half() for key, v in features.items()}
    masks, _ = sam.decode(stored, sam.default_tokens(2), replace_unstable=False)
    exact, _ = sam.decode(features, sam.default_tokens(2), replace_unstable=False)
    assert torch.allclose(masks, exact, atol=1e-2 * exact.abs().max())
