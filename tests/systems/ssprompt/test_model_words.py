"""Words outside of the fit, and negatives: what prompts may change for them."""

import numpy as np
import pytest
import torch

from segtune.ops.postprocess import instances, label_pixels, panoptic, semantic
from segtune.systems import build_system
from segtune.types import Vocabulary

from .conftest import FIT, LEARNING, OTHERS, answers, build, same, same_result, same_segment, shaken


@pytest.mark.parametrize("name", ["ssprompt", "semprompt", "coop", "locn"])
def test_learned_rows_follow_their_words(seem, model, words, name):
    system = build(seem, name, words)
    shaken(system.prompts)
    mixed = model.words(Vocabulary.of(OTHERS[0], FIT[2], OTHERS[1], FIT[0]))
    with torch.no_grad():
        of_fit, table = system.class_embeds(words), system.class_embeds(mixed)
    assert torch.equal(table[[0, 2]], mixed.embeds[[0, 2]])
    torch.testing.assert_close(table[[1, 3]], of_fit[[2, 0]], atol=1e-6, rtol=0)
    assert ((table[[1, 3]] - mixed.embeds[[1, 3]]).abs().amax(1) > 1e-3).all()
    assert torch.equal(table[-1], mixed.background)


@pytest.mark.parametrize("learn_background", [False, True])
def test_shared_queries_with_other_words(
    seem, model, words, pixels, geometries, zero_shot, learn_background
):
    """SemPrompt leaves other words alone as long as the background does not move."""
    others = model.words(Vocabulary.of(*OTHERS))
    system = build(seem, "semprompt", words, learn_background=learn_background)
    shaken(system.prompts)
    found = answers(system, pixels, others, geometries)
    assert same(found, zero_shot(others)) != learn_background
    spatial = build(seem, "spaprompt", words)
    shaken(spatial.prompts)
    assert not same(answers(spatial, pixels, others, geometries), zero_shot(others))


EXACT = ["ssprompt", "spaprompt", "semprompt", "coop", "locn"]


@pytest.fixture(params=EXACT)
def exact(request, seem, words):
    """A system that keeps the model for other words, with prompts far from their start."""
    spatial = {"spatial": "embeddings"} if request.param in ("coop", "locn") else {}
    options = {"retain": "exact", "learn_background": True, **spatial}
    system = build(seem, request.param, words, **options)
    shaken(system.prompts)
    return system


def decided(prediction, vocabulary):
    """All three kinds of results of a prediction."""
    return (
        semantic(prediction, vocabulary, with_segments=True),
        instances(prediction, vocabulary),
        panoptic(prediction, vocabulary, min_score=0.5),
    )


def test_exact_with_other_words_only_is_the_model_itself(
    exact, model, pixels, geometries, zero_shot
):
    vocabulary = Vocabulary.of(*OTHERS)
    others = model.words(vocabulary)
    found, before = answers(exact, pixels, others, geometries), zero_shot(others)
    assert same(found, before)
    for one, two in zip(found, before, strict=True):
        assert all(map(same_result, decided(one, vocabulary), decided(two, vocabulary)))


def test_exact_with_words_of_the_fit_only_is_the_plain_prompted_model(
    exact, words, pixels, geometries
):
    options = exact.config_values() | {"retain": "shared"}
    shared = build_system(exact.name, exact.backbone, options)
    shared.load_learned(exact.learned())
    found = answers(exact, pixels, words, geometries)
    assert same(found, answers(shared, pixels, words, geometries))


def test_exact_with_mixed_words_keeps_both_kinds_of_answers(
    exact, model, words, pixels, geometries, zero_shot
):
    vocabulary = Vocabulary.of(OTHERS[0], *FIT, OTHERS[1])
    mixed, outside = model.words(vocabulary), (0, 4)
    options = exact.config_values() | {"retain": "shared"}
    shared = build_system(exact.name, exact.backbone, options)
    shared.load_learned(exact.learned())
    prompted = answers(shared, pixels, mixed, geometries)
    for found, learned, default in zip(
        answers(exact, pixels, mixed, geometries), prompted, zero_shot(mixed), strict=True
    ):
        count = len(learned.mask_logits)
        for name in ("mask_logits", "class_logits"):
            each = getattr(found, name)
            assert torch.equal(each[:count], getattr(learned, name))
            assert torch.equal(each[count:], getattr(default, name))
        assert (
            found.mask_rule.answers[:count].tolist() == [[False, True, True, True, False]] * count
        )
        assert torch.equal(~found.mask_rule.answers[:1], found.mask_rule.answers[-1:])
        before = [s for s in instances(default, vocabulary).segments if s.class_id in outside]
        after = instances(found, vocabulary).segments
        after = [s for s in after if s.class_id in outside and s.score > 0]
        assert before
        assert all(map(same_segment, before, after))
        assert len(before) == len(after)
        old, new = (label_pixels(p, with_probs=True) for p in (default, found))
        both = torch.isin(new.class_ids, torch.tensor(outside)) & (old.class_ids == new.class_ids)
        torch.testing.assert_close(new.probs[both], old.probs[both], atol=1e-7, rtol=0)


def test_exact_negatives_are_words_like_others(exact, model, pixels, geometries, zero_shot):
    vocabulary = Vocabulary.of(OTHERS[0], negatives=(OTHERS[1],))
    others = model.words(vocabulary)
    found = answers(exact, pixels, others, geometries)
    assert same(found, zero_shot(others))
    assert (semantic(found[0], vocabulary, num_negatives=1).semantic <= 0).all()


@pytest.mark.parametrize("name", LEARNING)
def test_negatives_compete_but_are_no_answer(seem, model, words, pixels, geometries, name):
    system = build(seem, name, words)
    vocabulary = Vocabulary.of(FIT[0], OTHERS[0], negatives=(FIT[1], OTHERS[1]))
    given = model.words(vocabulary)
    for prediction in answers(system, pixels, given, geometries):
        assert prediction.class_logits.shape[1] == 4 + 1
        ids = label_pixels(prediction).class_ids
        label_map = semantic(prediction, vocabulary, num_negatives=2).semantic
        assert np.array_equal(label_map, ids.where(ids < 2, -1).numpy())
    if name == "semprompt":  # a negative of the fit keeps its learned row
        shaken(system.prompts)
        table = system.class_embeds(given)
        assert torch.equal(table[[1, 3]], given.embeds[[1, 3]])
        assert not torch.allclose(table[2], given.embeds[2], atol=1e-3)
