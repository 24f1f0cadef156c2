"""The system: its place on the canvas, its names, and FC-CLIP's way from masks to results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.uniovseg.everything import EverythingConfig, find_everything
from segtune.backbones.uniovseg.random import tiny_uniovseg
from segtune.errors import SegtuneError
from segtune.ops import postprocess
from segtune.ops.mask_targets import MaskTargets
from segtune.predict.segmenter import Segmenter
from segtune.systems import build_system
from segtune.systems.base import Targets
from segtune.systems.uniovseg.adapter import region_embeds
from segtune.systems.uniovseg.classifier import class_probs, synonym_rows
from segtune.types import Concept, Geometry, MaskPrediction, Resolution, Vocabulary
from tests.conftest import LetterTokenizer
from tests.goldens import close, goldens

ALL = {"grid": 3, "min_iou": 0.0}
WORDS = Vocabulary((Concept("sea", ("blue sea", "water")), Concept("sand")), negatives=("sky",))


@pytest.fixture(scope="module")
def model():
    return Segmenter(tiny_uniovseg(seed=3, tokenizer=LetterTokenizer()), templates="name")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 255, (36, 80, 3), dtype=np.uint8)


def moved(model, **options):
    """A system whose adapter has learned something."""
    system = build_system("uniovseg", model.backbone, {**ALL, **options})
    generator = torch.Generator().manual_seed(0)
    system.load_learned(
        {k: v + torch.randn(v.shape, generator=generator) for k, v in system.learned().items()}
    )
    return system


# -- from scores to results ---------------------------------------------------------------------


def prediction_of(golden):
    height, width = golden.config["H"], golden.config["W"]
    size = (height, width)
    return MaskPrediction(
        Geometry(size, size, size),
        mask_logits=golden["inputs.mask_logits"],
        class_logits=golden["inputs.mask_cls_logits"],
    )


def classes_of(golden):
    things = golden.config["things"]
    kinds = ["thing" if i in things else "stuff" for i in range(golden.config["C"])]
    return Vocabulary(tuple(Concept(f"c{i}", kind=kind) for i, kind in enumerate(kinds)))


@pytest.mark.golden
def test_official_semantic_scores():
    for golden in goldens("uniovseg_classified_inference"):
        expected = golden["outputs.semantic_scores"]
        found = postprocess.label_pixels(prediction_of(golden), with_probs=True)
        assert torch.equal(found.class_ids, expected.argmax(0))
        close(found.probs, expected.amax(0).clamp(max=1))


@pytest.mark.golden
def test_official_panoptic_segments():
    for golden in goldens("uniovseg_classified_inference"):
        found = postprocess.panoptic(
            prediction_of(golden),
            classes_of(golden),
            min_score=golden.config["object_thr"],
            overlap=golden.config["overlap_thr"],
        )
        panoptic, size = golden["outputs.panoptic_map"].numpy(), found.size
        rows = golden["outputs.segments_id_isthing_category"].tolist()
        expected = {(category, (panoptic == number).tobytes()) for number, _, category in rows}
        ours = {(s.class_id, s.full_mask(size).tobytes()) for s in found.segments}
        assert ours == expected


@pytest.mark.golden
def test_official_instances():
    for golden in goldens("uniovseg_classified_inference"):
        found = postprocess.instances(
            prediction_of(golden), classes_of(golden), top=golden.config["topk"], things_only=True
        ).segments
        # Masks without a pixel are left out here; the released function gives them the score 0.
        real = golden["outputs.instance_masks"].bool().flatten(1).any(1)
        scores = golden["outputs.instance_scores"][real]
        close(torch.tensor([segment.score for segment in found]), scores)
        assert [s.class_id for s in found] == golden["outputs.instance_classes"][real].tolist()
        masks = golden["outputs.instance_masks"][real].bool().numpy()
        for segment, mask in zip(found, masks, strict=True):
            assert np.array_equal(segment.full_mask(mask.shape), mask)


# -- masks and names ----------------------------------------------------------------------------


def test_scores_are_those_of_the_parts(model, image):
    system = moved(model, frozen_share=0.3, iou_power=2.0)
    looked = model.backbone.look(image)
    words = model.words(WORDS)
    (prediction,) = system.predict(system.features_of(looked), words, [looked.geometry])
    config = EverythingConfig((3, 3), 0.0)
    (found,) = find_everything(model.backbone, looked.seen, [image.shape[:2]], config)
    torch.testing.assert_close(prediction.mask_logits, found.mask_logits)
    rows = synonym_rows(model.backbone, WORDS, model.templates)
    masks = found.mask_logits[None]
    probs = class_probs(
        region_embeds(model.backbone, looked.seen, masks, system.adapter)[0],
        region_embeds(model.backbone, looked.seen, masks)[0],
        rows,
        temperature=model.backbone.clip.temperature,
        frozen_share=0.3,
    )
    torch.testing.assert_close(prediction.class_scores, probs * found.ious[:, None] ** 2)
    assert prediction.class_scores.shape[1] == 3  # the negative competes


def test_synonyms_compete_one_by_one(model, image):
    system = moved(model)
    looked = model.backbone.look(image)
    features = system.features_of(looked)
    words = model.words(WORDS)
    maxed = system.predict(features, words, [looked.geometry])[0].class_scores
    nameless = replace(words, vocabulary=None)
    mean = system.predict(features, nameless, [looked.geometry])[0].class_scores
    assert not torch.allclose(maxed, mean)


def test_whole_images_lie_on_the_canvas(model, image):
    system = moved(model)
    seen = model.look(image)
    asked = {"vocabulary": WORDS, "system": system}
    once = model.segment(image, **asked)
    assert seen.looked.geometry.input_size == (64, 64)
    assert np.array_equal(once.semantic, seen.words(WORDS, system=system).semantic)
    larger = model.segment(image, **asked, resolution=Resolution(96, None, 96))
    assert larger.semantic.shape == image.shape[:2]


def test_clicked_masks_are_named_through_the_adapter(model, image):
    system = moved(model)
    looked = model.backbone.look(image)
    masks = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.3
    words = model.words(WORDS)
    found = system.name_logits(looked, masks, words)
    embeds = region_embeds(model.backbone, looked.seen, masks[None], system.adapter)[0]
    rows = synonym_rows(model.backbone, WORDS, model.templates)
    logits = F.normalize(embeds, dim=-1) @ rows.embeds.T * model.backbone.clip.temperature
    torch.testing.assert_close(found[:, 0], logits[:, :3].amax(1))
    torch.testing.assert_close(found[:, 1], logits[:, 3])
    assert system.name_logits(looked, masks[:0], words).shape == (0, 4)
    result = model.segment_points(image, [(20, 10), (60, 30)], vocabulary=WORDS)
    assert all(0 < segment.score < 1 for segment in result.segments)
    assert {segment.class_id for segment in result.segments} <= {0, 1}


def test_no_proposals_are_no_labels(model, image):
    system = build_system("uniovseg", model.backbone, {"grid": 2, "min_iou": 1.0})
    result = model.segment(image, WORDS, system=system)
    assert (result.semantic == -1).all()
    for task in ("panoptic", "instance"):
        assert model.segment(image, WORDS, system=system, task=task).segments == ()


# -- learning -----------------------------------------------------------------------------------


def test_the_loss_falls_and_small_masks_count(model):
    system = build_system("uniovseg", model.backbone, ALL, seed=1)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(4)) * 255
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, :40], masks[1, 50:54, 50:54] = True, True  # the other is smaller than any place
    targets = Targets(torch.zeros(1, 64, 64), [MaskTargets(torch.tensor([0, 1]), masks)])
    features, words = system.encode_for_loss(pixels), model.words(WORDS)
    optimizer = torch.optim.Adam(system.prompts.parameters(), 0.05)
    losses = []
    for _ in range(30):
        loss = system.loss(features, words, targets)["loss_ce"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_frozen_learns_nothing(model):
    system = build_system("uniovseg-frozen", model.backbone)
    with pytest.raises(SegtuneError, match="--system uniovseg"):
        system.loss(system.encode_for_loss(torch.zeros(1, 3, 32, 32)), model.words(WORDS), None)
