"""The prompted SEEM as a whole: where it starts, what moves, what stays, and what it remembers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from segtune.backbones.focalnet import FocalNet
from segtune.backbones.seem_text import SeemText
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.postprocess import instances, label_pixels, panoptic, semantic
from segtune.ops.set_loss import targets_from_semantic
from segtune.prompts import Prompts
from segtune.segmenter import Segmenter
from segtune.systems import build_system
from segtune.systems.base import Targets, Words
from segtune.train.fit import FitConfig, fit
from segtune.train.loop import LoopConfig
from segtune.types import Concept, Vocabulary

from .conftest import FIT, OTHERS, make_seem, scores, shaken

LEARNING = {
    "ssprompt": {},
    "spaprompt": {},
    "semprompt": {},
    "coop": {"context_tokens": 4},
    "locn": {},
    "vspl": {"point_grid": 2},
}
"""Every preset that learns something, at a small size."""


def build(seem, name, words=None, *, seed=0, **options):
    system = build_system(name, seem, {"classes": FIT, **LEARNING[name], **options}, seed=seed)
    if words is not None:
        system.start(words, seed=seed)
    return system


def labels_for(num_classes, size=(64, 96), batch=2):
    blocks = torch.randint(
        -1, num_classes, (batch, 4, 6), generator=torch.Generator().manual_seed(3)
    )
    return blocks.repeat_interleave(size[0] // 4, 1).repeat_interleave(size[1] // 6, 2)


def targets_for(num_classes, **shape):
    labels = labels_for(num_classes, **shape)
    return Targets(labels, targets_from_semantic(labels))


def answers(system, pixels, words, geometries):
    with torch.inference_mode():
        return system.predict(system.encode(pixels), words, geometries)


def same(first, second):
    """Whether two lists of predictions are equal bit for bit."""
    return all(
        torch.equal(a.mask_logits, b.mask_logits)
        and torch.equal(a.class_logits, b.class_logits)
        and a.answers is None
        and b.answers is None
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture
def zero_shot(seem, pixels, geometries):
    """Answers of the model without prompts, as a function of the words."""
    system = build_system("seem", seem)
    return lambda words: answers(system, pixels, words, geometries)


# -- where it starts ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ssprompt", "spaprompt", "semprompt"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_init": 0.0},
        {"weight_init": 1.7},
        {"weight_shape": "channel", "weight_param": "sigmoid", "weight_init": 0.2},
        {"weight_shape": "global", "weight_param": "clamp01"},
        {"fusion": "average"},
        {"fusion": "replace"},
        {"fusion": "additive", "embed_init": "zeros", "weight_init": 1.0},
        {"spatial_target": "both", "learn_background": True},
        {"spatial_target": "position"},
        {"retain": "exact"},
    ],
    ids=str,
)
def test_the_first_answer_is_the_zero_shot_one_bit_for_bit(
    seem, words, pixels, geometries, zero_shot, name, options
):
    system = build(seem, name, words, **options)
    assert same(answers(system, pixels, words, geometries), zero_shot(words))


@pytest.mark.parametrize("name", ["ssprompt", "spaprompt", "semprompt"])
@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "additive"},
        {"fusion": "additive", "embed_init": "zeros"},
        {"embed_init": "zeros"},
        {"embed_init": "noise"},
        {"embed_init": "normal"},
        {"fusion": "replace", "embed_init": "normal"},
    ],
    ids=str,
)
def test_other_choices_start_elsewhere(seem, words, pixels, geometries, zero_shot, name, options):
    system = build(seem, name, words, **options)
    assert not same(answers(system, pixels, words, geometries), zero_shot(words))


def test_renormalising_starts_at_the_zero_shot_model_up_to_rounding(seem, words, pixels):
    plain = build_system("seem", seem)
    system = build(seem, "semprompt", words, renormalize_text=True)
    features = plain.encode(pixels)
    torch.testing.assert_close(
        system.classify(system(features), words), plain.classify(plain(features), words)
    )


def test_learned_names_start_at_the_zero_shot_model_up_to_rounding(seem, words, pixels):
    """The words of these tests are in the same template as those of LOCN."""
    plain, system = build_system("seem", seem), build(seem, "locn", words)
    torch.testing.assert_close(
        system.class_embeds(words), plain.class_embeds(words), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", LEARNING)
def test_the_seed_decides_the_start_where_chance_plays_a_part(seem, words, name):
    options = {"embed_init": "noise"}
    a, b, c = (build(seem, name, words, seed=seed, **options).learned() for seed in (0, 0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    has_chance = name not in ("locn", "vspl")
    assert any(not torch.equal(a[key], c[key]) for key in a) == has_chance


def test_x_decoder_is_prompted_without_its_image_query(words, pixels, geometries):
    seem = make_seem(has_image_query=True, has_points=False)
    plain, system = build_system("seem", seem), build(seem, "ssprompt", words)
    found = answers(system, pixels, words, geometries)
    assert same(found, answers(plain, pixels, words, geometries))
    assert found[0].mask_logits.shape[0] == seem.config.num_queries - 1
    with pytest.raises(SegtuneError, match="takes no points"):
        answers(build(seem, "vspl", words), pixels, words, geometries)


# -- what moves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
@pytest.mark.parametrize("name", LEARNING)
def test_backward_reaches_the_prompts_only(seem, words, pixels, name, task):
    system = build(seem, name, words, embed_init="noise", task=task, learn_background=True)
    system.train()
    sum(system.loss(system.encode(pixels), words, targets_for(3)).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in seem.parameters())
    for key, parameter in system.prompts.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key
        assert parameter.grad.isfinite().all(), key
    assert sum(p.numel() for p in system.parameters() if p.requires_grad) == system.num_learned()


def test_seem_learns_nothing(seem):
    assert build_system("seem", seem).num_learned() == 0


def test_weights_wait_for_the_embeddings_to_move(seem, words, pixels):
    """Copied embeddings: no gradient of w in the first step, some in the second."""
    system = build(seem, "ssprompt", words)
    weights = {k: p for k, p in system.prompts.named_parameters() if k.endswith("weight")}
    assert set(weights) == {"spatial.content.weight", "semantic.fused.weight"}
    features, targets = system.encode(pixels), targets_for(3)
    optimizer = torch.optim.SGD(system.prompts.parameters(), lr=1.0)
    for step in range(2):
        optimizer.zero_grad()
        sum(system.loss(features, words, targets).values()).backward()
        for weight in weights.values():
            assert (weight.grad.abs().sum() > 0) == (step == 1)
        optimizer.step()


def test_the_loss_of_points_reaches_their_coordinates(seem, words, pixels):
    system = build(seem, "vspl", words)
    sum(system.loss(system.encode(pixels), words, targets_for(3)).values()).backward()
    gradient = system.prompts.spatial.points.grad
    assert gradient.shape == (4, 2)
    assert (gradient.abs() > 0).all()


def test_points_are_asked_one_by_one(seem, words, pixels):
    """N coordinates are the same as N single clicks."""
    system = build(seem, "vspl", words)
    shaken(system.prompts)
    features = system.encode(pixels)
    memory = seem.decoder.prepare(*seem.features(pixels))
    with torch.no_grad():
        found, points = system(features), system.prompts.spatial()
        for n, point in enumerate(points):
            single = seem.segment_points(memory, point.expand(2, 1, 1, 2))
            torch.testing.assert_close(found.mask_logits[:, n], single.mask_logits[:, 0])
            torch.testing.assert_close(found.class_embeds[:, n], single.class_embeds[:, 0])


def test_frozen_stays_in_evaluation_mode(seem, words):
    system = build(seem, "ssprompt", words)
    system.train()
    assert system.prompts.training
    assert not any(module.training for module in system.backbone.modules())


def test_deep_supervision_is_for_training(seem, words, pixels):
    system = build(seem, "ssprompt", words, deep_supervision=True)
    features = system.encode(pixels)
    with torch.no_grad():
        last = system(features)
        assert len(system.heads(features)) == 1
        system.train()
        heads = system.heads(features)
    assert len(heads) == seem.config.decoder_layers + 1
    torch.testing.assert_close(heads[-1].mask_logits, last.mask_logits)
    assert len(system.loss(features, words, targets_for(3))) == len(heads)
    instance = build(seem, "ssprompt", words, deep_supervision=True, task="instance").train()
    assert len(instance.loss(features, words, targets_for(3))) == 3 * len(heads)


def test_each_kind_of_prompt_has_its_rate(seem, words):
    factors = {"spatial_lr_factor": 2.0, "semantic_lr_factor": 0.5, "context_lr_factor": 4.0}
    for name, rates in (("ssprompt", [0.2, 0.05]), ("coop", [0.4]), ("vspl", [0.2])):
        groups = build(seem, name, words, **factors).parameter_groups(0.1, 0.01)
        assert [group["lr"] for group in groups] == pytest.approx(rates)
        assert {group["weight_decay"] for group in groups} == {0.01}


# -- what the loop calls ------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNING)
def test_only_prompts_inside_of_the_text_tower_run_it_in_the_loop(model, monkeypatch, name):
    calls = {"text": 0, "image": 0}
    encode_text, encode_image = SeemText.encode_embeddings, FocalNet.forward

    def count_text(self, *inputs):
        calls["text"] += 1
        return encode_text(self, *inputs)

    def count_image(self, *inputs):
        calls["image"] += 1
        return encode_image(self, *inputs)

    monkeypatch.setattr(SeemText, "encode_embeddings", count_text)
    monkeypatch.setattr(FocalNet, "forward", count_image)
    seen = []
    data = SyntheticDataset("jargon", "train", size=(64, 64), length=4)
    config = FitConfig(loop=LoopConfig(steps=3, lr=1e-3), batch=2, views=1, distort=False)
    on_step = lambda done, prompts_now: seen.append(dict(calls))  # noqa: E731
    options = LEARNING[name]
    fit(model, data, system=name, options=options, shots=2, config=config, on_step=on_step)
    per_step = 1 if name in ("coop", "locn") else 0
    assert [b["text"] - a["text"] for a, b in zip(seen, seen[1:], strict=False)] == [per_step] * 2
    assert seen[0]["image"] == seen[-1]["image"] == 1  # two views in one batch, before the loop


def test_semantic_prompts_train_on_answers_alone(seem, words, pixels, zero_shot, geometries):
    """Specification j.7: words enter the classifier only."""
    system = build(seem, "semprompt", words)
    features = system.encode(pixels)
    assert set(features.tensors) == {"class_embeds", "mask_logits"}
    optimizer = torch.optim.SGD(system.prompts.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        sum(system.loss(features, words, targets_for(3)).values()).backward()
        optimizer.step()
    for after, before in zip(
        answers(system, pixels, words, geometries), zero_shot(words), strict=True
    ):
        assert torch.equal(after.mask_logits, before.mask_logits)
        assert not torch.allclose(after.class_logits, before.class_logits, atol=1e-3)


def test_spatial_prompts_keep_the_maps_of_the_image_and_no_answers(seem, words, pixels):
    names = set(build(seem, "spaprompt", words).encode(pixels).tensors)
    assert {"mask_features", "level_0", "level_1", "level_2"} <= names
    assert not {"class_embeds", "mask_logits"} & names
    exact = set(build(seem, "spaprompt", words, retain="exact").encode(pixels).tensors)
    assert exact - names == {"class_embeds", "mask_logits"}


@pytest.mark.parametrize("name", LEARNING)
def test_stored_features_give_the_losses_and_gradients_of_fresh_ones(seem, words, pixels, name):
    """Rows that were taken apart and stacked again, as a feature cache does."""
    system = build(seem, name, words, embed_init="noise")
    fresh = system.encode(pixels)
    stored = {k: torch.stack([row.clone() for row in v]) for k, v in fresh.tensors.items()}
    found = []
    for features in (fresh, replace(fresh, tensors=stored)):
        system.prompts.zero_grad()
        loss = system.loss(features, words, targets_for(3))["loss_ce"]
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in system.prompts.parameters())])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)


# -- words outside of the fit -------------------------------------------------------------------


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


def same_results(first, second):
    for a, b in zip(first, second, strict=True):
        maps = a.semantic, b.semantic
        assert maps[0] is maps[1] or np.array_equal(*maps)
        assert len(a.segments) == len(b.segments)
        for one, two in zip(a.segments, b.segments, strict=True):
            assert same_segment(one, two)
    return True


def same_segment(one, two):
    values = (one.class_id, one.score, one.box_px) == (two.class_id, two.score, two.box_px)
    return values and np.array_equal(one.mask, two.mask)


def test_exact_with_other_words_only_is_the_model_itself(
    exact, model, pixels, geometries, zero_shot
):
    vocabulary = Vocabulary.of(*OTHERS)
    others = model.words(vocabulary)
    found, before = answers(exact, pixels, others, geometries), zero_shot(others)
    assert same(found, before)
    for one, two in zip(found, before, strict=True):
        assert same_results(decided(one, vocabulary), decided(two, vocabulary))


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
        assert found.answers[:count].tolist() == [[False, True, True, True, False]] * count
        assert torch.equal(~found.answers[:1], found.answers[-1:])
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


# -- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("size", [(32, 32), (32, 96)])
def test_any_image_size(seem, words, geometries, name, size):
    system = build(seem, name, words)
    pixels = torch.rand(2, 3, *size) * 255
    for prediction in answers(system, pixels, words, geometries):
        queries = 4 if name == "vspl" else 6
        assert prediction.mask_logits.shape == (queries, size[0] // 4, size[1] // 4)
        assert prediction.class_logits.shape == (queries, 3 + 1)
        assert prediction.class_logits.isfinite().all()
        assert prediction.mask_resize == "bicubic"


@pytest.mark.parametrize("name", LEARNING)
def test_batching_changes_nothing(seem, words, pixels, geometries, name):
    system = build(seem, name, words)
    shaken(system.prompts, by=0.05)
    together = answers(system, pixels, words, geometries)
    for image in range(2):
        apart = answers(system, pixels[image : image + 1], words, geometries[:1])[0]
        for key in ("mask_logits", "class_logits"):
            one, two = getattr(together[image], key), getattr(apart, key)
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_vocabularies_of_any_size(seem, words, pixels, geometries, count):
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(count, 16, generator=generator)
    many = Words(embeds, names=tuple(map(str, range(count))), background=words.background)
    for name in LEARNING:
        found = answers(build(seem, name, words), pixels, many, geometries)
        assert found[0].class_logits.shape[1] == count + 1


def test_padding_is_the_mean_of_the_model(seem):
    """Pixels of padding are zero once normalised, as in the official code."""
    system = build_system("seem", seem)
    assert seem.normalise(torch.tensor(system.padding).view(1, 3, 1, 1)).abs().max() == 0


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *LEARNING.items(),
        ("ssprompt", {"weight_shape": "channel", "spatial_target": "both", "retain": "exact"}),
        ("semprompt", {"learn_background": True, "renormalize_text": True, "fusion": "average"}),
        ("coop", {"context_per_class": True, "context_init": "a photo of a"}),
        ("locn", {"name_templates": ("{}", "a photo of a {}.")}),
    ],
    ids=str,
)
def test_a_fit_answers_from_its_file(model, tmp_path, name, options):
    data = SyntheticDataset("jargon", "train", size=(64, 96), length=3)
    config = FitConfig(loop=LoopConfig(steps=2, lr=0.05), batch=2, views=1, distort=False)
    file = tmp_path / "a.prompts.safetensors"
    prompts = fit(model, data, system=name, options=options, shots=2, config=config, out=file)
    loaded = Prompts.load(file)
    assert loaded.options == json.loads(json.dumps(prompts.options))
    fresh = Segmenter(model.backbone, templates="single", resolution=model.resolution)
    for task in ("semantic", "instance", "panoptic"):
        results = [
            m.segment(data[2], prompts=p, task=task) for m, p in ((model, prompts), (fresh, loaded))
        ]
        assert same_results(results[:1], results[1:])
    other = fresh.segment(data[2], "red star, gray road", prompts=loaded)
    assert other.semantic.shape == (64, 96)


@pytest.mark.parametrize("name", LEARNING)
def test_learned_tensors_and_options_make_an_equal_system(seem, words, pixels, geometries, name):
    system = build(seem, name, words)
    shaken(system.prompts)
    options = json.loads(json.dumps(system.config_values()))
    other = build_system(name, seem, options, seed=9)
    assert other.config == system.config
    other.load_learned(system.learned())
    assert same(*(answers(each, pixels, words, geometries) for each in (system, other)))


def test_prompts_of_another_fit_are_refused(seem, words):
    system = build(seem, "ssprompt", words)
    learned = build_system("ssprompt", seem, {"classes": FIT[:2]}).learned()
    with pytest.raises(WeightsError, match=r"semantic\.fused\.embeds .* instead of"):
        system.load_learned(learned)


def test_missing_words_are_named(seem, model, words, pixels, geometries):
    system = build(seem, "ssprompt")
    with pytest.raises(SegtuneError, match="lack green grass, blue square"):
        system.start(model.words(Vocabulary.of(FIT[0], OTHERS[0])), seed=0)
    with pytest.raises(SegtuneError, match=r"Segmenter\.words"):
        answers(system, pixels, Words(words.embeds, names=words.names), geometries)


# -- learning -----------------------------------------------------------------------------------


def accuracy(system, features, words, labels):
    with torch.no_grad():
        found = system(features)
        ids = scores(system.classify(found, words), found.mask_logits).argmax(1)
    return (ids == labels).float().mean().item()


def learned(seem, name, words, features, labels, *, steps=60, lr=0.03, **options):
    """A system after some steps of Adam on all images at once."""
    system = build(seem, name, words, **options).train()
    optimizer = torch.optim.Adam(system.prompts.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(system.loss(features, words, Targets(labels)).values()).backward()
        optimizer.step()
    return system.train(False)


@pytest.fixture
def teaching():
    """A SEEM whose masks differ from place to place, eight images, and labels of other prompts."""
    seem = make_seem(num_queries=12)
    words = Segmenter(seem, templates="single").words(Vocabulary.of(*FIT))
    generator = torch.Generator().manual_seed(5)
    pixels = torch.rand(8, 3, 8, 8, generator=generator)
    pixels = torch.nn.functional.interpolate(pixels, (64, 64), mode="bilinear") * 255
    with torch.no_grad():  # random mask features are almost constant: spread them
        maps, conv = seem.features(pixels)[1], seem.pixel_decoder.mask_features
        mean, factor = maps.mean((0, 2, 3)), 3 / maps.std((0, 2, 3))
        conv.weight.mul_(factor[:, None, None, None])
        conv.bias.sub_(mean).mul_(factor)
    teacher = build(seem, "ssprompt", words, fusion="replace")
    shaken(teacher.prompts, by=1.0, seed=5)
    with torch.no_grad():
        found = teacher(teacher.encode(pixels))
        labels = scores(teacher.classify(found, words), found.mask_logits).argmax(1)
    return seem, words, pixels, labels


@pytest.mark.slow
def test_prompts_find_back_to_a_teacher(teaching):
    """Specification j.9: most of the gap is closed, by both prompts more than by one."""
    seem, words, pixels, labels = teaching
    zero = build_system("seem", seem)
    before = accuracy(zero, zero.encode(pixels), words, labels)
    gains = {}
    for name in ("ssprompt", "spaprompt", "semprompt", "vspl"):
        features = build(seem, name, words).encode(pixels)
        student = learned(seem, name, words, features, labels, lr=0.1 if name == "vspl" else 0.03)
        gains[name] = (accuracy(student, features, words, labels) - before) / (1 - before)
    assert before < 0.5
    assert gains["ssprompt"] > 0.6
    assert gains["ssprompt"] > gains["semprompt"] > gains["spaprompt"] > gains["vspl"]


def test_one_image_without_things_is_segmented_for_every_task(model):
    vocabulary = Vocabulary((Concept("green grass", kind="stuff"), Concept("gray road")))
    image = np.zeros((40, 50, 3), np.uint8)
    for task in ("semantic", "instance", "panoptic"):
        result = model.segment(image, vocabulary, task=task)
        assert result.size == (40, 50)
        assert task != "instance" or all(s.class_id == 1 for s in result.segments)
