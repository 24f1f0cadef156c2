"""SSPrompt on SAM 3: words through token sequences, queries that are learned, words kept exact."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.hub import load_backbone
from segtune.backbones.sam.random import random_sam3
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.fewshot.fit import FitConfig, fit
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.resize import bilinear
from segtune.ops.set_loss import SetLossConfig, SetPrediction, set_loss
from segtune.predict.segmenter import Segmenter
from segtune.systems import build_system, systems_for, zero_shot_system
from segtune.systems.base import Targets, Words
from segtune.systems.ssprompt import sam3 as module
from segtune.train.config import LoopConfig
from segtune.types import Geometry, Vocabulary
from tests.conftest import LetterTokenizer

CLASSES = ("road", "red car")
LEARNERS = ["ssprompt", "spaprompt", "semprompt"]


@pytest.fixture
def sam():
    sam = random_sam3()
    sam.tokenizer = LetterTokenizer()
    return sam


def _system(sam, name, seed=0, **options):
    return build_system(name, sam, {"classes": CLASSES} | options, seed=seed)


def _pixels(batch=1, size=(40, 60)):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0)) * 255


def _words(*names):
    return Words(torch.ones(len(names), 1), names=names)


def _shake(system, scale=0.5):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in system.prompts.parameters():
            p.add_(scale * torch.randn(p.shape, generator=generator))


def _targets(batch=2):
    labels = torch.randint(-2, 2, (batch, 40, 60), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 40, 60, dtype=torch.bool)
    masks[0, :20], masks[1, 20:], masks[2, :, :7] = True, True, True
    return Targets(labels, [MaskTargets(torch.tensor([1, 0, 1]), masks)] * batch)


def _logits(system, words, pixels=None):
    with torch.no_grad():
        return system.pixel_logits(system.encode(_pixels() if pixels is None else pixels), words)


def test_registry(sam):
    assert systems_for("sam3") == LEARNERS
    assert build_system(zero_shot_system("sam3"), sam).num_learned() == 0


def test_number_of_learned_values(sam):
    tokens = sum(len(name) + 2 for name in CLASSES)  # letters, start and end
    assert _system(sam, "semprompt").num_learned() == tokens * (32 + 1)
    assert _system(sam, "spaprompt").num_learned() == 6 * (32 + 1)
    both = _system(sam, "spaprompt", spatial_target="both")
    assert both.num_learned() == 6 * (32 + 1) + 6 * (4 + 1)


@pytest.mark.parametrize("how", ["max", "sum"])
def test_scores_equal_the_plain_model(sam, how):
    """One word at a time through the plain model, scores as products of probabilities."""
    words = ["road", "a red bus"]
    pixels = _pixels(2)
    logits = _logits(_system(sam, "sam3", pixel_scores=how), _words(*words), pixels)
    for k, word in enumerate(words):
        ids = torch.tensor([LetterTokenizer()(word)["input_ids"]] * 2)
        with torch.no_grad():
            plain = sam.model(
                sam.preprocess(pixels), input_ids=ids, attention_mask=torch.ones_like(ids)
            )
        scores = plain.pred_logits.sigmoid() * plain.presence_logits.sigmoid()
        planes = scores[..., None, None] * plain.pred_masks.sigmoid()
        expected = planes.amax(1) if how == "max" else planes.sum(1)
        torch.testing.assert_close(logits[:, k].exp(), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("target", ["content", "position", "both"])
@pytest.mark.parametrize("name", LEARNERS)
def test_the_first_step_is_the_model_itself(sam, name, target):
    words = _words("tree", "red car", "road")
    learner = _system(sam, name, spatial_target=target)
    assert torch.equal(_logits(learner, words), _logits(_system(sam, "sam3"), words))


@pytest.mark.parametrize("task", ["semantic", "instance"])
@pytest.mark.parametrize("name", LEARNERS)
def test_only_prompts_get_gradients(sam, name, task):
    system = _system(sam, name, task=task, spatial_target="both")
    system.train()
    features = system.encode(_pixels(2))
    assert not any(value.requires_grad for value in features.tensors.values())
    losses = system.loss(features, _words(*CLASSES), _targets())
    sum(losses.values()).backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for p in system.prompts.parameters()
    )
    assert any(p.grad.abs().sum() > 0 for p in system.prompts.parameters())
    assert all(p.grad is None and not p.requires_grad for p in sam.parameters())
    groups = system.parameter_groups(0.1, 0.0)
    assert sum(p.numel() for g in groups for p in g["params"]) == system.num_learned() > 0
    assert not any(m.training for m in sam.modules())


def test_running_again_on_the_way_back_changes_no_gradient(sam, monkeypatch):
    words, grads = _words("road", "tree", "red car"), []
    for again in (True, False):
        if not again:
            monkeypatch.setattr(module, "checkpoint", lambda f, *args, use_reentrant: f(*args))
        monkeypatch.setattr(module, "CLASSES_AT_ONCE", 2)
        system = _system(sam, "ssprompt")
        _shake(system)
        system.loss(system.encode(_pixels(2)), words, _targets())["loss_ce"].backward()
        grads.append([p.grad for p in system.prompts.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("at_once", [1, 2, 8])
@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_chunks_change_nothing(sam, monkeypatch, at_once, task):
    words = _words("tree", "road", "sky", "red car")
    system = _system(sam, "ssprompt", task=task, retain="exact", kept_masks=7)
    _shake(system)
    geometry = Geometry((40, 60), (40, 60), (40, 60))
    features = system.encode(_pixels())
    with torch.no_grad():
        whole = system.predict(features, words, [geometry])[0]
        monkeypatch.setattr(module, "CLASSES_AT_ONCE", at_once)
        parts = system.predict(features, words, [geometry])[0]
    for name in ("pixel_logits", "mask_logits", "class_logits"):
        a, b = getattr(whole, name), getattr(parts, name)
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_words_of_the_fit_get_their_tokens(sam):
    system = _system(sam, "semprompt")
    _shake(system)
    words = _words("tree", "road", "red car")
    (text, mask), (default, _) = system.text(words), _system(sam, "sam3").text(words)
    assert mask.sum(1).tolist() == [6, 6, 9]
    assert text.shape == (3, 9, 32)
    assert torch.equal(text[0], default[0])
    assert not torch.isclose(text[1:], default[1:])[mask[1:]].all()
    plain, _ = sam.text_sequences(["tree", "road", "red car"])
    torch.testing.assert_close(default[mask], plain[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("retain", "kept"), [("exact", True), ("shared", False)])
def test_words_outside_of_the_fit(sam, retain, kept):
    words = _words("tree", "road", "sky", "red car")
    system = _system(sam, "ssprompt", retain=retain)
    _shake(system)
    ours, zero_shot = _logits(system, words), _logits(_system(sam, "sam3"), words)
    outside = torch.allclose(ours[:, [0, 2]], zero_shot[:, [0, 2]], atol=1e-5)
    assert outside == kept
    assert not torch.allclose(ours[:, [1, 3]], zero_shot[:, [1, 3]], atol=1e-4)
    only = _logits(system, _words("tree", "sky"))
    assert torch.allclose(only, zero_shot[:, [0, 2]], atol=1e-5) == kept


def test_a_word_has_the_same_tokens_in_every_vocabulary(sam):
    a, b = _system(sam, "sam3"), _system(sam, "sam3")
    with torch.inference_mode():
        first = a.text(_words("road", "a very long name"))[0][0, :6]
    assert torch.equal(first, b.text(_words("road"))[0][0])
    assert not a.text(_words("road"))[0].is_inference()


@pytest.mark.parametrize("name", LEARNERS)
def test_learned_tensors_make_an_equal_system(sam, name):
    system = _system(sam, name, retain="exact")
    _shake(system)
    other = build_system(name, sam, json.loads(json.dumps(system.config_values())), seed=9)
    other.load_learned(system.learned())
    words = _words("tree", "red car", "road")
    assert torch.equal(_logits(system, words), _logits(other, words))
    with pytest.raises(WeightsError, match="do not fit"):
        other.load_learned({})


def test_same_seed_same_start(sam):
    a, b, c = (_system(sam, "ssprompt", seed=s, embed_init="noise").learned() for s in (0, 0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


@pytest.mark.parametrize("size", [(40, 80), (70, 31)])
def test_segment_equals_the_long_way(sam, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    system = _system(sam, "ssprompt")
    _shake(system)
    result = Segmenter(sam).segment(image, "road, red car, tree", system=system)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    large = tuple(round(side * 56 / min(size)) for side in size)
    pixels = F.interpolate(pixels, large, mode="bilinear", antialias=True)
    logits = _logits(system, _words("road", "red car", "tree"), pixels)[0]
    logits = bilinear(bilinear(logits, large), size)
    assert np.array_equal(result.semantic, logits.argmax(0).numpy())


def test_masks_come_back_to_the_pixels(sam, monkeypatch):
    system = _system(sam, "sam3")
    planes = torch.full((1, 2, 16, 16), -9.0)
    planes[0, 0, :8, :8] = planes[0, 1, 8:] = planes[0, 1, :, 8:] = -0.1
    monkeypatch.setattr(system, "pixel_logits", lambda *_: planes)
    image = np.zeros((40, 96, 3), np.uint8)
    result = Segmenter(sam).segment(image, "corner, rest", system=system).semantic
    expected = np.ones((40, 96), bool)
    expected[:20, :48] = False
    wrong = result != expected
    wrong[19:21] = wrong[:, 46:50] = False
    assert not wrong.any()


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_masks_of_objects(sam, task):
    system = _system(sam, "sam3", task=task, kept_masks=5)
    geometry = Geometry((40, 60), (40, 60), (40, 60))
    words = _words("road", "red car", "tree")
    features = system.encode(_pixels(2))
    with torch.no_grad():
        found = system.predict(features, words, [geometry, geometry])[1]
        text, mask = system.text(words)
        every = sam.decode(features.tensors, text, mask)
    assert found.mask_logits.shape == (5, 16, 16)
    assert found.class_logits.shape == (5, 4)
    scores = every.scores[1].flatten()
    best = scores.topk(5)
    probs = found.class_logits.softmax(-1)
    torch.testing.assert_close(probs[:, :3].sum(1), best.values, atol=1e-5, rtol=1e-4)
    assert probs[:, :3].argmax(1).tolist() == (best.indices // 6).tolist()
    torch.testing.assert_close(
        found.mask_logits, every.mask_logits[1].flatten(0, 1)[best.indices], atol=1e-4, rtol=1e-4
    )
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    result = Segmenter(sam).segment(image, "road, car", system=system, task=task)
    assert result.size == (40, 60)


def test_every_class_of_every_image_is_matched_on_its_own(sam):
    system = _system(sam, "ssprompt", task="instance")
    words, targets, features = _words(*CLASSES), _targets(), system.encode(_pixels(2))
    with torch.no_grad():
        found = sam.decode(features.tensors, *system.text(words))
        losses = system.loss(features, words, targets)
    heads, objects = [], []
    for b in range(2):
        for k in range(2):
            score = found.scores[b, k].clamp(max=1 - 1e-6)
            logits = torch.stack([score.log(), (1 - score).log()], -1)
            heads.append((logits, found.mask_logits[b, k]))
            mine = targets.masks[b].class_ids == k
            objects.append(
                MaskTargets(torch.zeros(int(mine.sum())).long(), targets.masks[b].masks[mine])
            )
    head = SetPrediction(*(torch.stack(parts) for parts in zip(*heads, strict=True)))
    expected = set_loss([head], objects, SetLossConfig(dice_weight=0.0, dense=True))
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, atol=1e-5, rtol=1e-4)


def test_an_unlabelled_batch_has_a_finite_loss(sam):
    empty = MaskTargets(torch.zeros(0, dtype=torch.long), torch.zeros(0, 40, 60, dtype=torch.bool))
    targets = Targets(torch.full((1, 40, 60), -1), [empty])
    for task in ("semantic", "instance"):
        system = _system(sam, "ssprompt", task=task)
        losses = system.loss(system.encode(_pixels()), _words(*CLASSES), targets)
        assert all(torch.isfinite(value) for value in losses.values())


def test_errors_say_what_is_missing(sam):
    system = _system(sam, "semprompt", task="instance", spatial="default")
    features = system.encode(_pixels())
    with pytest.raises(SegtuneError, match="reads the names"):
        system.text(Words(torch.ones(2, 1)))
    with pytest.raises(SegtuneError, match="instance masks"):
        system.loss(features, _words("road"), Targets(torch.zeros(1, 40, 60, dtype=torch.long)))
    sam.tokenizer = None
    with pytest.raises(WeightsError, match="no tokenizer"):
        _system(sam, "semprompt")


def test_no_classes_learn_nothing(sam):
    system = _system(sam, "semprompt", classes=())
    assert system.num_learned() == 0
    assert system.text(_words("road"))[0].shape == (1, 6, 32)


def test_pooled_words(sam):
    tokens = sam.tokenize(["road", "red car"])
    assert tokens.shape == (2, 9)
    assert tokens.dtype == torch.int64
    pooled = sam.encode_text(tokens)
    text, _ = sam.text_sequences(["road"])
    torch.testing.assert_close(pooled[0], text[0].mean(0), atol=1e-5, rtol=1e-5)
    words = Segmenter(sam).words(Vocabulary.of("road", "car"))
    assert words.embeds.shape == (2, 32)
    assert words.background is None


def test_loading_by_folder(sam, tmp_path):
    sam.model.save_pretrained(tmp_path / "mysam3")
    loaded = load_backbone(tmp_path / "mysam3", device="cpu")
    assert (loaded.kind, loaded.name, loaded.joint_width) == ("sam3", "mysam3", 32)
    assert loaded.tokenizer is None
    assert loaded.fingerprint == sam.fingerprint


@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_fit_and_segment_from_the_file(sam, task, tmp_path):
    data = SyntheticDataset("jargon", "train", size=(64, 80), length=3)
    model, out = Segmenter(sam, templates="name"), tmp_path / "a.prompts.safetensors"
    config = FitConfig(loop=LoopConfig(steps=2, warmup=0), batch=2, views=1, short_side=56)
    fit(model, data, system="ssprompt", shots=2, options={"task": task}, config=config, out=out)
    result = model.segment(data[2], "sky, unknown thing", prompts=out, task=task)
    assert result.size == (64, 80)
