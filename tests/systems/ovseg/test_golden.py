"""The two-stage systems against the official code, from pixels and masks to score maps."""

import pytest
import torch

from segtune.backbones.base import Proposals
from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.two_stage.model import TwoStage
from segtune.ops.mask_labels import label_from_masks, masks_at_resized
from segtune.ops.resize import bilinear
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.types import Concept, Geometry, Vocabulary
from tests.goldens import close, goldens

pytestmark = pytest.mark.golden


def maps_of(prediction):
    """The score maps (K, h, w) at the resized image."""
    every = torch.ones(len(prediction.mask_logits), dtype=torch.bool)
    return torch.einsum("qk,qhw->khw", prediction.class_scores, masks_at_resized(prediction, every))


def same_labels(maps, expected, margin=1e-3):
    """Asserts equal arg-max labels wherever the two best scores are apart."""
    best = expected.topk(2, dim=0).values
    decided = best[0] - best[1] > margin
    assert torch.equal(maps.argmax(0)[decided], expected.argmax(0)[decided])
    assert decided.float().mean() > 0.5


def ovseg_pair(golden, *, with_prompts):
    state = {k: v for k, v in golden.part("sd").items() if k != "text_projection"}
    clip = clip_vit_from_official(state)
    if not with_prompts:
        clip.mask_prompts = None
    maskformer = random_maskformer(joint_width=clip.joint_width)
    maskformer.no_object.data.copy_(golden["in.non_object_embedding"][0])
    given = Proposals(golden["in.mask_logits"][None], golden["in.query_embeddings"][None])
    maskformer.propose = lambda pixels: given
    return TwoStage(maskformer, clip)


@pytest.mark.parametrize("prompts", ["mpt", "plain"])
def test_ovseg(prompts):
    for golden in goldens("ovseg_two_stage"):
        meta, expected = golden.metadata, golden.part(f"out.{prompts}")
        pair = ovseg_pair(golden, with_prompts=prompts == "mpt")
        size = tuple(golden["in.image"].shape[-2:])
        words = Words(golden["in.text_features"])
        pixels = golden["in.image"].float()[None]

        inputs = (pair, pixels, words, size)

        def run(inputs=inputs, threshold=meta["mask_thr"], **options):
            pair, pixels, words, size = inputs
            system = build_system("two-stage", pair, options | {"threshold": threshold})
            with torch.no_grad():
                features = system.encode(pixels)
                return system, *system.predict(features, words, [Geometry(size, size, size)])

        system, fused = run(weight=meta["ensemble_weight"])
        class_logits = pair.class_logits(pair.proposals.propose(pixels), words.embeds)[0]
        close(class_logits, golden["out.maskformer_logits"])
        looked = system.reader.look(
            pixels[0],
            golden["in.mask_logits"],
            fused.geometry,
            prompts=system.mask_prompts,
            objectness=torch.ones(len(golden["out.valid"])),
            importance=torch.ones(len(golden["out.valid"])),
        )
        assert torch.equal(looked.valid, golden["out.valid"].bool())
        close(
            100 * looked.embeds @ words.embeds.T,
            expected["clip_logits_with_noobject"][:, :-1],
        )
        cases = {
            "semseg_lam": fused,
            "semseg_clip_only": run(weight=0.0)[1],
            "semseg_maskformer_only": run(scores="proposals")[1],
        }
        for name, prediction in cases.items():
            close(maps_of(prediction), expected[name])
            same_labels(maps_of(prediction), expected[name])
        close(maps_of(run(scores="clip")[1]), expected["semseg_clip_only"])
        demo = run(weight=0.0, masks="best")[1]
        close(maps_of(demo), expected["demo_clip_only"])
        blank = expected["demo_clip_only"].amax(0) == 0
        assert torch.equal(label_from_masks(demo).class_ids == len(words.embeds), blank)


def zegformer_pair(golden):
    clip = clip_vit_from_official(golden.part("sd"))
    maskformer = random_maskformer(joint_width=clip.joint_width, class_hidden=None)
    given = Proposals(
        golden["in.mask_logits_stride4"][None], torch.zeros(1, *golden["in.segment_logits"].shape)
    )
    maskformer.propose = lambda pixels: given
    maskformer.class_logits = lambda queries, text: golden["in.segment_logits"][None]
    return TwoStage(maskformer, clip, recipe="zegformer")


def maps_at_original(prediction):
    """The score maps (K, H, W) that are compared at the original image."""
    maps = bilinear(maps_of(prediction), prediction.geometry.original_size)
    shift = prediction.mask_rule.class_shift
    return maps if shift is None else maps - shift[:, None, None]


@pytest.mark.parametrize("style", ["crop", "mask", "cropmask"])
def test_zegformer(style):
    for golden in goldens("zegformer_two_stage"):
        pair, expected = zegformer_pair(golden), golden.part("out")
        unseen = set(golden["in.unseen_index"].tolist())
        text = golden["in.text_features_clip"]
        concepts = (
            Concept(f"class {i}", group="unseen" if i in unseen else "seen")
            for i in range(len(text))
        )
        words = Words(text, vocabulary=Vocabulary(tuple(concepts)))
        resized = tuple(golden["in.image"].shape[-2:])
        divisor = golden.metadata["size_divisibility"]
        padded = tuple(-(-side // divisor) * divisor for side in resized)
        pixels = torch.full((1, 3, *padded), 99.0)  # a colour that must not matter
        pixels[0, :, : resized[0], : resized[1]] = golden["in.image"].float()
        geometry = Geometry(tuple(golden["in.output_hw"].tolist()), resized, padded)

        known = {"clip_templates": "", "style": style, "gamma": golden.metadata["gamma"]}
        inputs = (pair, pixels, words, geometry)

        def run(known=known, inputs=inputs, **options):
            pair, pixels, words, geometry = inputs
            system = build_system("zegformer", pair, known | options)
            with torch.no_grad():
                return system.predict(system.encode(pixels), words, [geometry])[0]

        assert build_system("zegformer", pair).config.weight == golden.metadata["lambda_"]
        cases = {f"{style}.fused": run(), f"{style}.clip_only": run(scores="clip", gamma=0.0)}
        if style == "cropmask":
            cases["cropmask.fused_all_classes"] = run(seen="ignored")
            cases["segment_only_calibrated"] = run(scores="proposals")
        for name, prediction in cases.items():
            close(maps_at_original(prediction), expected[name])
            labels = label_from_masks(prediction).class_ids
            assert torch.equal(labels, maps_at_original(prediction).argmax(0))
            same_labels(maps_at_original(prediction), expected[name])
