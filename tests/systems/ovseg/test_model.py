"""The two-stage model: padding, words, seen classes, approximations, degenerate images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.base import Proposals, prompt_fingerprint
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.two_stage.model import TwoStage
from segtune.errors import SegtuneError
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.types import Concept, Geometry, Resolution, Vocabulary
from segtune.vocabulary.templates import read_templates
from tests.goldens import close

NAMES = ("red", "green", "blue", "grey")
VOCABULARY = Vocabulary(
    (
        Concept("red", group="seen"),
        Concept("green", synonyms=("lime",), group="unseen"),
        Concept("blue", group="seen"),
    ),
    negatives=("grey",),
)


@pytest.fixture
def words():
    generator = torch.Generator().manual_seed(1)
    embeds = F.normalize(torch.randn(4, 16, generator=generator), dim=-1)
    return Words(embeds, num_negatives=1, names=NAMES, vocabulary=VOCABULARY)


@pytest.fixture
def pixels():
    coarse = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(2))
    return 255 * F.interpolate(coarse, (64, 96), mode="bicubic").clamp(0, 1)


def given(pair, mask_logits, **others):
    """Lets the proposal network of a pair propose these masks."""
    found = Proposals(mask_logits[None], **others)
    pair.proposals.propose = lambda pixels: found


def scores_of(system, pixels, words):
    with torch.no_grad():
        return system(system.encode(pixels), words)[0]


def blocks(*corners, size=(16, 24)):
    """Mask logits (Q, h, w) of rectangles (y1, x1, y2, x2)."""
    masks = torch.full((len(corners), *size), -9.0)
    for mask, (y1, x1, y2, x2) in zip(masks, corners, strict=True):
        mask[y1:y2, x1:x2] = 9.0
    return masks


HALVES = ((0, 0, 16, 12), (0, 12, 16, 24))


@pytest.mark.parametrize("name", ["ovseg", "simbaseline"])
def test_padding_changes_nothing(tiny_pair, words, pixels, name):
    given(tiny_pair, blocks(*HALVES, (2, 3, 9, 9), (5, 16, 15, 23)))
    system = build_system(name, tiny_pair)
    geometry = Geometry((50, 70), (50, 70), (64, 96))
    predictions = []
    for value in (0.0, 255.0):
        padded = pixels.clone()
        padded[:, :, 50:], padded[:, :, :, 70:] = value, value
        with torch.no_grad():
            predictions += system.predict(system.encode(padded), words, [geometry])
    assert torch.equal(predictions[0].class_scores, predictions[1].class_scores)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("name", ["ovseg", "zegformer", "two-stage"])
def test_images_with_one_region_or_none(tiny_pair, words, pixels, name, count):
    """Both crash the released code."""
    masks = torch.cat([blocks(*HALVES[:count]), torch.full((2, 16, 24), -9.0)])
    embeds = torch.randn(1, len(masks), 16, generator=torch.Generator().manual_seed(0))
    given(tiny_pair, masks, query_embeds=embeds)
    options = {"clip_templates": ""} if name == "zegformer" else {}
    scores = scores_of(build_system(name, tiny_pair, options), pixels, words)
    assert scores.shape == (count + 2, 4)
    assert torch.isfinite(scores).all()


def test_no_masks_at_all(tiny_pair, words, pixels):
    given(tiny_pair, torch.zeros(0, 16, 24))
    system = build_system("ovseg", tiny_pair)
    with torch.no_grad():
        (prediction,) = system.predict(
            system.encode(pixels), words, [Geometry((64, 96), (64, 96), (64, 96))]
        )
    assert prediction.class_scores.shape == (0, 4)


def test_permuting_masks_permutes_scores(tiny_pair, words, pixels):
    found = tiny_pair.proposals.propose(pixels)
    system = build_system("ovseg", tiny_pair)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    before = scores_of(system, pixels, words)
    given(tiny_pair, found.mask_logits[0, order], query_embeds=found.query_embeds[:, order])
    close(scores_of(system, pixels, words), before[order])


@pytest.mark.parametrize("at_once", [1, 3])
def test_regions_at_once_change_nothing(tiny_pair, words, pixels, at_once):
    every = scores_of(build_system("ovseg", tiny_pair), pixels, words)
    system = build_system("ovseg", tiny_pair, {"regions_at_once": at_once})
    close(scores_of(system, pixels, words), every)


def passes_of(system, pixels, masks):
    """How many regions go through CLIP."""
    size = tuple(pixels.shape[-2:])
    return system.reader.look(
        pixels[0],
        masks,
        Geometry(size, size, size),
        prompts=system.mask_prompts,
        objectness=torch.ones(len(masks)),
        importance=torch.linspace(1, 0.1, len(masks)),
    ).num_passes


def test_equal_masks_share_a_pass_and_empty_ones_have_none(tiny_pair, words, pixels):
    one, other = blocks(*HALVES)
    masks = torch.stack([one, other, one + 1, torch.full_like(one, -9), other])
    system = build_system("two-stage", tiny_pair)
    assert passes_of(system, pixels, masks) == 2
    given(tiny_pair, masks)
    scores = scores_of(system, pixels, words)
    close(scores[0], scores[2])
    close(scores[1], scores[4])
    assert not scores[3].any()  # nobody knows anything about an empty mask


def test_masks_that_overlap_almost_wholly_share_a_pass_where_asked(tiny_pair, pixels):
    masks = blocks((0, 0, 16, 12), (0, 0, 16, 11), (0, 12, 16, 24))
    assert passes_of(build_system("two-stage", tiny_pair), pixels, masks) == 3
    system = build_system("two-stage", tiny_pair, {"duplicate_iou": 0.85})
    assert passes_of(system, pixels, masks) == 2


def test_masks_that_could_hardly_matter_are_dropped_where_asked(tiny_pair, words, pixels):
    given(tiny_pair, blocks(*HALVES, (0, 0, 2, 2)), objectness=torch.tensor([[0.9, 0.2, 0.9]]))
    plain = scores_of(build_system("two-stage", tiny_pair), pixels, words)
    assert plain.any(1).all()
    small = scores_of(build_system("two-stage", tiny_pair, {"min_score_mass": 0.05}), pixels, words)
    assert small.any(1).tolist() == [True, True, False]
    unsure = scores_of(build_system("two-stage", tiny_pair, {"min_objectness": 0.5}), pixels, words)
    assert unsure.any(1).tolist() == [True, False, True]
    close(unsure[0], plain[0])


def test_the_exact_twin_has_the_same_prompts(tiny_pair, words, pixels):
    system = build_system("ovseg", tiny_pair, {"min_score_mass": 0.2, "weight": 0.5}, seed=4)
    twin = system.exact()
    assert twin.config == replace(system.config, min_score_mass=0.0)
    assert torch.equal(twin.mask_prompts, system.mask_prompts)
    assert twin.exact() is None
    exact = build_system("ovseg", tiny_pair, {"weight": 0.5}, seed=4)
    assert torch.equal(scores_of(twin, pixels, words), scores_of(exact, pixels, words))


# -- words ----------------------------------------------------------------------------------------


def test_clip_alone_and_proposals_alone(tiny_pair, words, pixels):
    p = scores_of(build_system("two-stage", tiny_pair, {"scores": "proposals"}), pixels, words)
    phat = scores_of(build_system("two-stage", tiny_pair, {"scores": "clip"}), pixels, words)
    both = scores_of(build_system("two-stage", tiny_pair, {"weight": 0.7}), pixels, words)
    valid = phat.any(1)
    assert valid.any()
    close(both[valid], (p**0.3 * phat**0.7)[valid])
    close(phat[valid].sum(1), torch.ones(int(valid.sum())))


def test_proposals_without_words_cannot_answer_alone(tiny_pair, words, pixels):
    given(tiny_pair, blocks(*HALVES))
    system = build_system("two-stage", tiny_pair, {"scores": "proposals"})
    with pytest.raises(SegtuneError, match="tiny-maskformer knows no words; use scores=both"):
        scores_of(system, pixels, words)


def test_seen_classes_come_from_the_vocabulary(tiny_pair, words, pixels):
    system = build_system("simbaseline", tiny_pair, {"learns": "nothing"})
    rows = system.rows(words)
    assert rows.seen.tolist() == [True, False, True, False]
    untagged = replace(words, vocabulary=Vocabulary.of("red", "green", "blue", negatives=("grey",)))
    ignored = build_system("simbaseline", tiny_pair, {"learns": "nothing", "seen": "ignored"})
    assert ignored.rows(words).seen is None
    without = scores_of(system, pixels, untagged)
    close(scores_of(ignored, pixels, words), without)
    tagged = scores_of(system, pixels, words)
    close(tagged[:, 1], without[:, 1])
    assert not torch.allclose(tagged[:, 0], without[:, 0])


def test_zegformer_lowers_the_maps_of_seen_classes(tiny_pair, words, pixels):
    system = build_system("zegformer", tiny_pair, {"clip_templates": "", "gamma": 0.25})
    with torch.no_grad():
        (prediction,) = system.predict(
            system.encode(pixels), words, [Geometry((64, 96), (64, 96), (64, 96))]
        )
    assert prediction.mask_rule.class_shift.tolist() == [0.25, 0, 0.25, 0]


def test_regions_have_sentences_of_their_own(tiny_pair, words):
    system = build_system("zegformer", tiny_pair, {"clip_templates": "name"})
    rows = system.rows(words)
    assert torch.equal(rows.queries, words.embeds)
    red = F.normalize(tiny_pair.encode_text(tiny_pair.tokenize(["red"])), dim=-1)
    close(rows.regions[:1], red)
    green, lime = F.normalize(tiny_pair.encode_text(tiny_pair.tokenize(["green", "lime"])), dim=-1)
    close(rows.regions[1], F.normalize((green + lime) / 2, dim=-1))
    assert system.rows(words) is rows  # kept for the next image
    nameless = Words(words.embeds)
    with pytest.raises(SegtuneError, match=r"needs them; pass Words\(..., names=...\)"):
        system.rows(nameless)


def test_words_that_came_with_the_weights_are_used(tiny_pair, words):
    tiny_pair.word_prompts = torch.nn.ParameterDict(
        {"prefix": torch.randn(2, 32), "suffix": torch.zeros(0, 32)}
    ).requires_grad_(False)
    rows = build_system("two-stage", tiny_pair).rows(words)
    assert not torch.allclose(rows.regions, words.embeds)
    assert torch.equal(rows.queries, rows.regions)
    rows = build_system("two-stage", tiny_pair, {"words_for": "regions"}).rows(words)
    assert torch.equal(rows.queries, words.embeds)


def test_learned_words_are_read_anew_when_they_change(tiny_pair, words):
    system = build_system("simbaseline", tiny_pair)
    with torch.no_grad():
        before = system.rows(words)
        assert system.rows(words) is before
        system.prompts.prefix.add_(1.0)
        assert not torch.allclose(system.rows(words).regions, before.regions)
    assert system.rows(words).regions.requires_grad


def test_mask_prompts_of_the_weights_can_be_left_out(tiny_pair, words, pixels):
    triangle = torch.where(torch.ones(16, 24).tril().bool(), 9.0, -9.0)
    given(tiny_pair, triangle[None])
    without = scores_of(build_system("two-stage", tiny_pair), pixels, words)
    tiny_pair.clip.mask_prompts = torch.randn(2, 16, 32)
    prompted = scores_of(build_system("two-stage", tiny_pair), pixels, words)
    kept = scores_of(build_system("two-stage", tiny_pair, {"blank_patches": "kept"}), pixels, words)
    assert torch.equal(kept, without)
    assert not torch.allclose(prompted, without)


# -- whole images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(37, 61), (1, 1), (5, 200), (64, 64)])
@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
def test_any_image_and_any_task(tiny_pair, size, task):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = Segmenter(tiny_pair).segment(image, VOCABULARY, task=task, min_score=0.0)
    assert result.size == size
    if task == "semantic":
        assert result.semantic.shape == size
    for segment in result.segments:
        assert 0 <= segment.score <= 1
        assert segment.mask.any()


def test_prompts_belong_to_the_clip_and_fit_any_proposals_before_it(tiny_pair, tiny_clip):
    assert prompt_fingerprint(tiny_pair) == tiny_clip.fingerprint != tiny_pair.fingerprint
    system = build_system("ovseg", tiny_pair)
    prompts = Prompts(
        system="ovseg",
        options=system.config_values(),
        model=tiny_clip.name,
        fingerprint=tiny_clip.fingerprint,
        tensors=system.learned(),
        vocabulary=VOCABULARY,
        templates=read_templates("name"),
        resolution=Resolution.of(64),
    )
    others = TwoStage(random_maskformer(class_hidden=None), tiny_clip, templates="name")
    used = Segmenter(others).system_for(prompts)
    assert torch.equal(used.mask_prompts, system.mask_prompts)
