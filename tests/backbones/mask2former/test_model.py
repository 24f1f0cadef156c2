"""Mask2Former as a whole: published inference, exact savings, and training at points."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.base import FrozenModel, Proposes
from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.mask2former.random import TINY, TINY_SWIN, random_mask2former
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.postprocess import instances, panoptic, semantic
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.types import Concept, Geometry, SumAtResized, Vocabulary
from tests.goldens import close, goldens


@pytest.fixture(params=["resnet", "swin"])
def model(request) -> Mask2Former:
    encoder = TINY_SWIN if request.param == "swin" else TINY.image_encoder
    return random_mask2former(replace(TINY, image_encoder=encoder))


def pixels_of(*size: int, images: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(images, 3, *size, generator=generator) * 255


def concepts(count: int, things: tuple[int, ...] | None = None) -> Vocabulary:
    kinds = ["thing" if things is None or i in things else "stuff" for i in range(count)]
    return Vocabulary(tuple(Concept(f"class {i}", kind=kind) for i, kind in enumerate(kinds)))


# -- published inference ------------------------------------------------------------------------


def answers_of(mask_logits: Tensor, class_logits: Tensor) -> DecoderOutput:
    nothing = torch.empty(0)
    return DecoderOutput(mask_logits[None], None, class_logits[None], nothing, nothing)


@pytest.mark.golden
def test_instances_are_the_official_ones():
    """As released: the best of all (query, class) pairs, each drawn as "object"."""
    for golden in goldens("segprompt_inference"):
        sizes, out = golden.config, golden.part("out")
        geometry = Geometry(*(tuple(sizes[name]) for name in ("output", "image", "padded")))
        model = random_mask2former(replace(TINY, num_classes=sizes["num_classes"]))
        answers = answers_of(golden["in.masks"], golden["in.logits"])
        prediction = model.prediction(answers, 0, geometry)
        found = instances(prediction, concepts(sizes["num_classes"]), top=sizes["topk"]).segments
        kept = out["masks"].bool().flatten(1).any(1)  # ours leaves empty masks out
        scores, order = out["scores"][kept].sort(descending=True)
        close(torch.tensor([segment.score for segment in found]), scores)
        masks, boxes = out["masks"][kept][order].bool(), out["boxes"][kept][order]
        for segment, mask, box in zip(found, masks, boxes, strict=True):
            assert (segment.full_mask(tuple(sizes["output"])) == mask.numpy()).all()
            assert list(segment.box_px) == box.int().tolist()


@pytest.mark.golden
def test_one_entry_per_query_is_the_same_where_objects_are_surer_than_classes():
    for golden in goldens("segprompt_inference"):
        sizes, logits = golden.config, golden["in.logits"]
        probs = logits.softmax(-1)
        if sizes["num_classes"] > 1 and probs[:, 0].min() <= probs[:, 1:-1].max():
            pytest.skip("classes that were never trained take places of objects in this golden")
        geometry = Geometry(*(tuple(sizes[name]) for name in ("output", "image", "padded")))
        config = replace(TINY, num_classes=sizes["num_classes"], class_agnostic=True)
        model = random_mask2former(config)
        prediction = model.prediction(answers_of(golden["in.masks"], logits), 0, geometry)
        found = instances(prediction, Vocabulary.of("object"), top=sizes["topk"]).segments
        kept = golden["out.masks"].bool().flatten(1).any(1)
        scores = golden["out.scores"][kept].sort(descending=True).values
        close(torch.tensor([segment.score for segment in found]), scores)


def test_semantic_answers_follow_the_published_lines(model):
    """Written out with einsum, as in the paper's code."""
    size, image, padded = (37, 50), (74, 100), (96, 128)
    pixels = pixels_of(*image)
    answers = model.answer(pixels)
    for row in range(2):
        prediction = model.prediction(answers, row, Geometry(size, image, padded))
        probs = answers.class_logits[row].softmax(-1)
        large = F.interpolate(answers.mask_logits[row][None], padded, mode="bilinear")
        small = F.interpolate(large[..., : image[0], : image[1]], size, mode="bilinear")[0]
        maps = torch.einsum("qk,qhw->khw", probs[:, :-1], small.sigmoid())
        found = semantic(prediction, concepts(3)).semantic
        assert (found == maps.argmax(0).numpy()).mean() > 0.999
        # Models for semantic segmentation alone sum first and resize after.
        maps = torch.einsum("qk,qhw->khw", probs[:, :-1], large[0].sigmoid())
        maps = F.interpolate(maps[None, :, : image[0], : image[1]], size, mode="bilinear")[0]
        geometry = prediction.geometry
        prediction = model.prediction(answers, row, geometry, decision=SumAtResized())
        found = semantic(prediction, concepts(3)).semantic
        assert (found == maps.argmax(0).numpy()).mean() > 0.999


def test_panoptic_answers_follow_the_published_line(model):
    size = (64, 96)
    answers = model.answer(pixels_of(*size))
    prediction = model.prediction(answers, 0, Geometry(size, size, size))
    probs = answers.class_logits[0].softmax(-1)
    scores, ids = probs.max(1)
    kept = (ids < 3) & (scores > 0.3)
    assert kept.any()
    masks = F.interpolate(answers.mask_logits[0][None], size, mode="bilinear")[0, kept].sigmoid()
    owner = (scores[kept, None, None] * masks).argmax(0)
    expected, count = torch.full(size, -1), 0
    for number, class_id in enumerate(ids[kept].tolist()):
        mine, whole = owner == number, masks[number] >= 0.5
        if (mine & whole).any() and mine.sum() >= 0.5 * whole.sum():
            expected[mine & whole] = class_id
            count += 1
    found = panoptic(prediction, concepts(3), min_score=0.3, overlap=0.5)
    assert len(found.segments) == count
    assert (found.semantic == expected.numpy()).all()


# -- the model ----------------------------------------------------------------------------------


def test_it_is_a_frozen_model_that_proposes_masks(model):
    assert isinstance(model, FrozenModel)
    assert isinstance(model, Proposes)
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.train().training
    assert model.requires_grad_(True).train().training


def test_a_class_agnostic_model_is_sure_of_objects_only():
    model = random_mask2former(replace(TINY, class_agnostic=True))
    pixels = pixels_of(64, 64)
    probs = model.answer(pixels).class_logits.softmax(-1)
    torch.testing.assert_close(model.propose(pixels).objectness, probs[..., 0])


def test_padding_is_the_mean_colour(model):
    """Images of other sizes in one batch are padded like an image alone."""
    pixels = pixels_of(50, 90)
    pixels[1, :, 40:] = 7.0
    pixels[1, :, :, 61:] = 7.0
    together = model.answer(pixels, sizes=[(50, 90), (40, 61)])
    mean = torch.tensor(model.padding)[:, None, None]
    filled = mean.expand(3, 64, 96).clone()
    filled[:, :40, :61] = pixels[1, :, :40, :61]
    alone = model.answer(filled[None])
    torch.testing.assert_close(together.mask_logits[1], alone.mask_logits[0], atol=1e-4, rtol=1e-4)
    assert together.mask_logits.shape[-2:] == (16, 24)


def test_the_published_way_gives_the_same_answers(model):
    """Full masks of every layer, resized and cut: what the levels' own features save."""
    maps = model.features(pixels_of(64, 96))
    queries = model.decoder.query_content, model.decoder.query_position
    fast, slow = (
        model.decoder(model.decoder.prepare(*maps, resize=way), *queries, deep_supervision=True)
        for way in ("first", "after")
    )
    for one, other in zip((*fast.aux, fast), (*slow.aux, slow), strict=True):
        torch.testing.assert_close(one.mask_logits, other.mask_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.class_logits, other.class_logits, atol=1e-4, rtol=1e-4)


# -- training -----------------------------------------------------------------------------------


def test_losses_at_points_without_whole_masks(model):
    """The same losses and gradients as with the masks of every layer, but never forms them."""
    model.requires_grad_(True).double()
    pixels = pixels_of(64, 96).double()
    generator = torch.Generator().manual_seed(0)
    targets = [
        MaskTargets(torch.tensor([0, 2]), torch.rand(2, 64, 96, generator=generator) > 0.6),
        MaskTargets(torch.tensor([1]), torch.rand(1, 64, 96, generator=generator) > 0.6),
    ]
    decoder, config = model.decoder, SetLossConfig(num_points=40)
    results = []
    for whole in (False, True):
        memory = model.memory(pixels)
        group = QueryGroup(decoder.query_content, decoder.query_position)
        if whole:
            answers = decoder.answer(memory, [group], deep_supervision=True)[0]
            heads = [SetPrediction(a.class_logits, a.mask_logits) for a in (*answers.aux, answers)]
        else:
            states = decoder.run(memory, [group], keep_all=True)[0]
            heads = model.supervised(memory, states)
        losses = set_loss(heads, targets, config, generator=torch.Generator().manual_seed(1))
        assert len(losses) == 3 * (TINY.decoder_layers + 1)
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(sum(losses.values()), parameters, allow_unused=True)
        assert all(gradient is not None for gradient in gradients)
        results.append((*losses.values(), *gradients))
    for products, masks in zip(*results, strict=True):
        torch.testing.assert_close(products, masks, atol=1e-5, rtol=1e-4)
