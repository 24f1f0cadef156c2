"""The battery that every system passes on every kind of frozen model that it runs on.

It knows systems by their specs alone: `cases` say in which small forms a system is run and what it
promises there, `random` of a model's spec makes the model. Only the public contract is used, so a
system joins, from this project or from another, by declaring itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segtune.backbones import MODELS
from segtune.backbones.base import prompt_fingerprint
from segtune.errors import SegtuneError, WeightsError
from segtune.fewshot.fit import default_config, fit
from segtune.ops.mask_targets import targets_from_semantic
from segtune.ops.postprocess import label_pixels
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.storage.registry import resolve
from segtune.systems import SYSTEMS, build_system, zero_shot_system
from segtune.systems.base import System, Targets, Words
from segtune.systems.spec import Case, SystemSpec
from segtune.types import (
    Concept,
    Geometry,
    Instance,
    MaskPrediction,
    Resolution,
    Sample,
    Vocabulary,
)
from tests.conftest import LetterTokenizer

FIT = ("red star", "green grass", "blue sea", "sand")
"""The classes of the fit."""
OTHERS = ("gray road", "ring")
"""Words outside of it."""
SIDE = 64
"""Pixels of every image that is square."""


@dataclass(frozen=True)
class Setup:
    """One case of a system on one kind of model."""

    spec: SystemSpec
    kind: str
    case: Case

    def __str__(self) -> str:
        return "-".join(filter(None, (self.spec.name, self.kind, self.case.name.replace(" ", "_"))))

    def options(self) -> dict[str, Any]:
        """Returns the options of the case with the classes of the fit, as a fit would set them."""
        given = dict(self.case.options)
        if self.spec.fit.classes_option:
            given.setdefault(self.spec.fit.classes_option, FIT)
        return given

    def build(self, model: Segmenter, *, seed: int = 3, started: bool = True) -> System:
        """Returns the system, at the first step of a fit where it is started."""
        system = build_system(self.spec.name, model.backbone, self.options(), seed=seed)
        if started and self.spec.learns:
            system.start(model.words(self.fitted()), seed=seed)
        return system

    def fitted(self) -> Vocabulary:
        """Returns the classes of the fit."""
        return Vocabulary.of(*FIT)

    def asked(self) -> Vocabulary:
        """Returns words that the system answers."""
        return Vocabulary.of(*(FIT[:1] if self.case.words == "one" else FIT))


SETUPS = [
    Setup(spec, kind, case)
    for spec in SYSTEMS.values()
    for case in spec.cases
    for kind in case.kinds or spec.kinds
]
LEARNERS = [setup for setup in SETUPS if setup.spec.learns]


def every(setups: list[Setup]) -> Any:
    """Runs a test for each of the setups."""
    return pytest.mark.parametrize("setup", setups, ids=str)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Tiny tensors are slower, not faster, on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models() -> Callable[[Setup], Segmenter]:
    """Returns the tiny model of a kind; frozen, so that all tests can share it."""
    made: dict[str, Segmenter] = {}

    def model_of(setup: Setup) -> Segmenter:
        kind = setup.kind
        if kind not in made:
            backbone = resolve(MODELS[kind].random)(seed=1, tokenizer=LetterTokenizer())
            size = Resolution.of(SIDE)
            if not backbone.uses_windows:
                size = replace(size, crop=None)
            made[kind] = Segmenter(backbone, templates="name", resolution=size)
        return made[kind]

    return model_of


def pixels_of(system: System, count: int, *, cells: tuple[int, int] | None = None) -> Tensor:
    """Returns (B, 3, H, W) pixels 0..255; `cells` counts strides, and the default is a square."""
    size = (SIDE, SIDE) if cells is None else tuple(n * system.stride for n in cells)
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0)) * 255


def targets_of(pixels: Tensor, *, empty: bool = False) -> Targets:
    """Returns labels in blocks of a quarter of the side, some unlabelled, and their masks."""
    height, width = pixels.shape[-2:]
    blocks = torch.randint(
        -1, len(FIT), (len(pixels), 4, 4), generator=torch.Generator().manual_seed(2)
    )
    labels = blocks.repeat_interleave(height // 4, 1).repeat_interleave(width // 4, 2)
    labels = torch.full_like(labels, -1) if empty else labels
    return Targets(labels, targets_from_semantic(labels))


def answers(system: System, pixels: Tensor, words: Words) -> list[MaskPrediction]:
    """Returns the predictions for a batch."""
    size = (pixels.shape[-2], pixels.shape[-1])
    with torch.inference_mode():
        features = system.encode(pixels)
        return system.predict(features, words, [Geometry(size, size, size)] * len(pixels))


def tensors_of(prediction: MaskPrediction) -> dict[str, Tensor]:
    """Returns all tensors of a prediction by name."""
    values = {field.name: getattr(prediction, field.name) for field in fields(prediction)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def same(first: list[MaskPrediction], second: list[MaskPrediction]) -> bool:
    """Whether two lists of predictions are equal bit for bit."""
    pairs = [(tensors_of(a), tensors_of(b)) for a, b in zip(first, second, strict=True)]
    return all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)


def shake(system: System) -> None:
    """Moves every learned number, through the contract."""
    generator = torch.Generator().manual_seed(7)
    moved = {
        key: value + 0.1 * torch.randn(value.shape, generator=generator)
        for key, value in system.learned().items()
    }
    system.load_learned(moved)


def losses_of(system: System, words: Words, *, empty: bool = False) -> dict[str, Tensor]:
    """Returns the losses of a batch of two; drawn noise is the same every time."""
    pixels = pixels_of(system, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = system.encode_for_loss(pixels)
        assert not any(value.requires_grad for value in features.tensors.values())
        return system.loss(features, words, targets_of(pixels, empty=empty))


# -- what is learned, and what is not -----------------------------------------------------------


@every(LEARNERS)
def test_backward_reaches_the_prompts_only(setup, models):
    model = models(setup)
    system = setup.build(model)
    before = copy.deepcopy(model.backbone.state_dict())
    system.train()
    losses = losses_of(system, model.words(setup.fitted()))
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in system.backbone.parameters())
    silent = {name for name, p in system.prompts.named_parameters() if p.grad is None}
    allowed = {name for name in silent if any(fnmatch(name, u) for u in setup.case.unread)}
    assert silent == allowed
    assert any(p.grad is not None and p.grad.any() for p in system.prompts.parameters())
    trainable = sum(p.numel() for p in system.parameters() if p.requires_grad)
    assert trainable == system.num_learned() > 0
    after = model.backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@every(SETUPS)
def test_frozen_stays_in_evaluation_mode(setup, models):
    system = setup.build(models(setup))
    system.train()
    assert not any(module.training for module in system.backbone.modules())
    assert system.prompts.training
    system.train(False)
    assert not system.prompts.training


@every([setup for setup in SETUPS if not setup.spec.learns])
def test_what_learns_nothing_has_nothing_to_store(setup, models):
    system = setup.build(models(setup))
    assert system.num_learned() == 0
    assert system.learned() == {}
    with pytest.raises(SegtuneError, match="learns nothing"):
        fit(models(setup), Scenes(), system=setup.spec.name, shots=None)


@every(LEARNERS)
def test_every_learned_number_is_in_one_group_with_a_rate(setup, models):
    system = setup.build(models(setup))
    groups = system.parameter_groups(0.5, 0.25)
    given = [id(p) for group in groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in system.prompts.parameters())
    assert all(group["lr"] > 0 and group["weight_decay"] == 0.25 for group in groups)


@every(LEARNERS)
def test_an_unlabelled_batch_has_a_finite_loss(setup, models):
    model = models(setup)
    losses = losses_of(setup.build(model), model.words(setup.fitted()), empty=True)
    assert all(torch.isfinite(value) for value in losses.values())


# -- where it starts ----------------------------------------------------------------------------


@every([setup for setup in LEARNERS if setup.case.starts_as_zero_shot is not None])
def test_the_first_step_is_the_model_without_prompts(setup, models):
    model = models(setup)
    system, words = setup.build(model), model.words(setup.asked())
    options = setup.case.starts_as_zero_shot
    zero_shot = build_system(zero_shot_system(setup.kind), model.backbone, options)
    pixels = pixels_of(system, 2)
    assert same(answers(system, pixels, words), answers(zero_shot, pixels, words))
    shake(system)
    assert not same(answers(system, pixels, words), answers(zero_shot, pixels, words))


@every(LEARNERS)
def test_the_seed_decides_where_it_starts(setup, models):
    model = models(setup)
    a, b, c = (setup.build(model, seed=seed).learned() for seed in (0, 0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a) == setup.case.random_start


@every(LEARNERS)
def test_the_same_loss_twice(setup, models):
    model = models(setup)
    words = model.words(setup.fitted())
    first, second = (losses_of(setup.build(model), words) for _ in range(2))
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}


# -- answers ------------------------------------------------------------------------------------


@every(SETUPS)
@pytest.mark.parametrize("cells", [None, (3, 5), (1, 1)], ids=["square", "wide", "one"])
def test_any_image_size(setup, models, cells):
    model = models(setup)
    system = setup.build(model)
    if cells is not None and system.stride == 1:
        cells = (30 * cells[0], 20 * cells[1])
    pixels = pixels_of(system, 2, cells=cells)
    for prediction in answers(system, pixels, model.words(setup.asked())):
        assert not any(value.isnan().any() for value in tensors_of(prediction).values())
        labels = label_pixels(prediction).class_ids
        assert labels.shape == pixels.shape[-2:]
        assert 0 <= labels.min() <= labels.max() <= len(setup.asked())  # the last: none of them


@every(SETUPS)
def test_batching_changes_nothing(setup, models):
    model = models(setup)
    system, words = setup.build(model), model.words(setup.asked())
    if setup.spec.learns:
        shake(system)
    pixels = pixels_of(system, 3)
    together = answers(system, pixels, words)
    apart = [answers(system, each[None], words)[0] for each in pixels]
    for one, other in zip(together, apart, strict=True):
        one, other = tensors_of(one), tensors_of(other)
        for name in one:
            torch.testing.assert_close(one[name], other[name], atol=1e-4, rtol=1e-4)


@every(SETUPS)
def test_words_outside_of_the_fit_are_answered_or_refused_by_name(setup, models):
    model = models(setup)
    system = setup.build(model)
    pixels = pixels_of(system, 1)
    asked = Vocabulary.of(*OTHERS, FIT[2], negatives=("sky",))
    if setup.case.words == "any":
        labels = label_pixels(answers(system, pixels, model.words(asked))[0]).class_ids
        assert labels.max() <= len(asked) + len(asked.negatives)
        return
    named = OTHERS[0] if setup.case.words == "of the fit" else "cannot tell"
    with pytest.raises(SegtuneError, match=named):
        answers(system, pixels, model.words(asked))


@every(SETUPS)
@pytest.mark.parametrize("count", [1, 40])
def test_vocabularies_of_any_size_without_rebuilding(setup, models, count):
    if setup.case.words != "any":
        pytest.skip("answers only words that it knows")
    model = models(setup)
    system = setup.build(model)
    words = model.words(Vocabulary.of(*(f"word {i}" for i in range(count))))
    prediction = answers(system, pixels_of(system, 1), words)[0]
    if prediction.pixel_logits is not None:
        assert len(prediction.pixel_logits) == count
    if prediction.class_logits is not None:
        assert prediction.class_logits.shape[1] == count + 1
    if prediction.class_scores is not None:
        assert prediction.class_scores.shape[1] == count


# -- files --------------------------------------------------------------------------------------


@every(LEARNERS)
def test_a_prompt_file_makes_an_equal_system(setup, models, tmp_path):
    model = models(setup)
    system = setup.build(model)
    shake(system)
    file = prompts_of(system, model, setup).save(tmp_path / "p.safetensors")
    loaded = Prompts.load(file)
    other = build_system(loaded.system, model.backbone, loaded.options, seed=9)
    other.load_learned(loaded.tensors)
    assert other.config == system.config
    words, pixels = model.words(setup.asked()), pixels_of(system, 1)
    assert same(answers(system, pixels, words), answers(other, pixels, words))
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 8, 3), dtype=np.uint8)
    one = model.segment(image, setup.asked(), system=system)
    two = model.segment(image, setup.asked(), prompts=file)
    assert np.array_equal(one.semantic, two.semantic)


@every(LEARNERS)
def test_prompts_of_another_shape_are_refused(setup, models):
    system = setup.build(models(setup))
    tensors = system.learned()
    name = next(iter(tensors))
    with pytest.raises(WeightsError, match="do not fit"):
        system.load_learned({key: value for key, value in tensors.items() if key != name})
    with pytest.raises(WeightsError, match="instead of"):
        system.load_learned(tensors | {name: torch.zeros(7, 7, 7, 7, 7)})
    assert all(torch.equal(value, tensors[key]) for key, value in system.learned().items())


def prompts_of(system: System, model: Segmenter, setup: Setup) -> Prompts:
    """Returns what a fit would write."""
    return Prompts(
        system=system.name,
        options=system.config_values(),
        model=model.backbone.name,
        fingerprint=prompt_fingerprint(model.backbone),
        tensors=system.learned(),
        vocabulary=setup.fitted(),
        templates=model.templates,
        resolution=model.resolution,
    )


# -- fits ---------------------------------------------------------------------------------------


class Scenes:
    """Three images of blocks in the colours of the classes, with label maps and objects."""

    name, split = "blocks", "train"
    vocabulary = Vocabulary(tuple(Concept(name) for name in FIT))

    def __len__(self) -> int:
        return 3

    def sample_id(self, index: int) -> str:
        return str(index)

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        labels = rng.integers(0, len(FIT), (4, 4)).astype(np.int32)
        labels = labels.repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
        colours = rng.integers(0, 256, (len(FIT), 3))
        noise = rng.integers(-20, 20, (SIDE, SIDE, 3))
        pixels = (colours[labels] + noise).clip(0, 255).astype(np.uint8)
        objects = tuple(Instance(k, labels == k) for k in range(len(FIT)) if (labels == k).any())
        return Sample(str(index), pixels, semantic=labels, instances=objects)


class Stopped(Exception):
    """What happened to the fit."""


@every(LEARNERS)
def test_an_interrupted_fit_takes_the_steps_it_would_have_taken(setup, models, tmp_path):
    model = models(setup)
    default = default_config(setup.spec.name, setup.case.options.get("task", setup.spec.tasks[0]))
    loop = replace(default.loop, steps=4, warmup=0, save_every=2)
    views = min(default.views, 1)
    config = replace(default, loop=loop, batch=2, views=views, rate_factors=(), short_side=SIDE)
    asked = {"system": setup.spec.name, "options": setup.case.options, "shots": None}

    def stop_at(wanted: int) -> Callable[[int, object], None]:
        def check(step: int, _prompts: object) -> None:
            if step == wanted:
                raise Stopped

        return check

    out = tmp_path / "p.safetensors"
    given = {**asked, "config": config, "progress": False}
    whole = fit(model, Scenes(), **given)
    with pytest.raises(Stopped):
        fit(model, Scenes(), **given, out=out, on_step=stop_at(3))
    assert not out.exists()
    resumed = fit(model, Scenes(), **given, out=out)
    written = Prompts.load(out)
    for key, value in whole.tensors.items():
        assert torch.equal(value, resumed.tensors[key])
        assert torch.equal(value, written.tensors[key])
    start = setup.build(model).learned()
    moved = [key for key in start if start[key].shape == whole.tensors[key].shape]
    assert any(not torch.equal(start[key], whole.tensors[key]) for key in moved)
