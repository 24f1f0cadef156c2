"""The prompted SEEM as a whole: where it starts, what moves, and what the loop calls."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from segtune.backbones.encoders.focalnet import FocalNet
from segtune.backbones.seem.text import SeemText
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.fewshot.fit import FitConfig, fit
from segtune.predict.segmenter import Segmenter
from segtune.systems import build_system
from segtune.systems.base import Targets, Words
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.train.config import LoopConfig
from segtune.types import Concept, Vocabulary

from .conftest import FIT, LEARNING, answers, build, make_seem, same, scores, shaken, targets_for

# -- where it starts ------------------------------------------------------------------------------


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


# -- what moves -----------------------------------------------------------------------------------


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
    system = build(seem, "vspl", words, point_copies=len(seem.default_content))
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


@pytest.mark.parametrize("name", ["ssprompt", "semprompt", "locn"])
def test_a_pull_draws_class_embeddings_to_the_default_ones(model, name):
    words = model.words(Vocabulary.of(*FIT, "elsewhere"))
    system = build(model.backbone, name, words, pull=0.4)
    features, targets = system.encode(torch.zeros(2, 3, 64, 96)), targets_for(3)
    if name != "locn":  # its template gives other embeddings than those of the model
        assert system.loss(features, words, targets)["loss_pull"].item() == 0
    shaken(system.prompts)
    moved = system.class_embeds(words)[:-1] - words.embeds
    assert moved[:-1].abs().sum() > 0
    assert moved[-1].abs().sum() == 0  # a word outside of the fit
    found = system.loss(features, words, targets)["loss_pull"]
    assert found.item() == pytest.approx(0.2 * moved.square().sum().item(), rel=1e-5)
    found.backward()
    step = {n: p - 0.1 * p.grad for n, p in system.prompts.named_parameters() if p.grad is not None}
    system.prompts.load_state_dict(step, strict=False)
    assert system.loss(features, words, targets)["loss_pull"] < found
    plain = build(model.backbone, name, words)
    assert "loss_pull" not in plain.loss(plain.encode(torch.zeros(2, 3, 64, 96)), words, targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pull": -1.0}, "expected 0 or more"),
        ({"pull": float("nan")}, "expected 0 or more"),
        ({"pull": 0.1, "semantic": "default"}, "nothing to pull"),
    ],
)
def test_a_pull_needs_a_strength_and_something_to_pull(options, message):
    with pytest.raises(SegtuneError, match=message):
        SSPromptConfig(**options)


def test_each_kind_of_prompt_has_its_rate(seem, words):
    factors = {"spatial_lr_factor": 2.0, "semantic_lr_factor": 0.5, "context_lr_factor": 4.0}
    for name, rates in (("ssprompt", [0.2, 0.05]), ("coop", [0.4]), ("vspl", [0.2])):
        groups = build(seem, name, words, **factors).parameter_groups(0.1, 0.01)
        assert [group["lr"] for group in groups] == pytest.approx(rates)
        assert {group["weight_decay"] for group in groups} == {0.01}


# -- what the loop calls --------------------------------------------------------------------------


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
    assert [b["text"] - a["text"] for a, b in pairwise(seen)] == [per_step] * 2
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


# -- shapes ---------------------------------------------------------------------------------------


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
        assert prediction.mask_rule.resize == "bicubic"


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
    assert seem.normalisation.apply(torch.tensor(system.padding).view(1, 3, 1, 1)).abs().max() == 0


# -- learning -------------------------------------------------------------------------------------


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
    parts = (gains["semprompt"], gains["spaprompt"])
    assert gains["ssprompt"] > max(parts)
    assert gains["vspl"] < min(parts) + 0.02, gains  # places of points: no more than queries


def test_one_image_without_things_is_segmented_for_every_task(model):
    vocabulary = Vocabulary((Concept("green grass", kind="stuff"), Concept("gray road")))
    image = np.zeros((40, 50, 3), np.uint8)
    for task in ("semantic", "instance", "panoptic"):
        result = model.segment(image, vocabulary, task=task)
        assert result.size == (40, 50)
        assert task != "instance" or all(s.class_id == 1 for s in result.segments)
