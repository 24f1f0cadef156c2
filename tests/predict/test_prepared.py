"""What a model keeps, by content and within bounds, and that threads may share it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from segtune.backbones.base import prompt_fingerprint
from segtune.backbones.sam.random import random_sam, random_sam3
from segtune.backbones.seem.model import random_seem
from segtune.backbones.two_stage.random import random_two_stage
from segtune.errors import SegtuneError, WeightsError
from segtune.predict import prepared
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.types import Resolution, Segmentation, Vocabulary
from tests.conftest import LetterTokenizer

WORDS = ("road", "red car", "tree", "sky")


def fitted(model: Segmenter, system: str, seed: int = 0, **options) -> Prompts:
    """Prompts that somebody might have learned."""
    built = build_system(system, model.backbone, options, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.prompts.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return Prompts(
        system=system,
        options=built.config_values(),
        model=model.backbone.name,
        fingerprint=prompt_fingerprint(model.backbone),
        tensors=built.learned(),
        vocabulary=Vocabulary.of(*WORDS),
        templates=model.templates,
        resolution=model.resolution,
    )


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def built(monkeypatch):
    """The names of the systems that are built."""
    names: list[str] = []

    def build(name, *arguments):
        names.append(name)
        return build_system(name, *arguments)

    monkeypatch.setattr(prepared, "build_system", build)
    return names


# -- systems --------------------------------------------------------------------------------------


def test_one_system_for_equal_prompts_from_anywhere(tiny_model, tmp_path, built):
    prompts = fitted(tiny_model, "rpn", train_grid=(4, 4))
    path, copy = (prompts.save(tmp_path / f"{name}.safetensors") for name in "ab")
    image = picture(32, 40)
    for given in (path, str(path), copy, prompts, Prompts.load(copy)):
        tiny_model.segment(image, prompts=given)
    assert built == ["rpn"]


def test_a_file_that_changes_is_another_system(tiny_model, tmp_path, built):
    path = tmp_path / "a.safetensors"
    found = []
    for seed in (1, 2):
        fitted(tiny_model, "vpt", seed).save(path)
        found.append(tiny_model.system_for(Prompts.load(path)))
    assert built == ["vpt", "vpt"]
    assert found[0] is not found[1]
    assert all(
        not torch.equal(a, b) for a, b in zip(*(f.learned().values() for f in found), strict=True)
    )


def test_only_the_last_systems_are_kept(tiny_model, built):
    prompts = [fitted(tiny_model, "lpm", seed) for seed in range(prepared.SYSTEMS_KEPT + 1)]
    first = tiny_model.system_for(prompts[0])
    for each in prompts:
        tiny_model.system_for(each)
    assert len(tiny_model._systems) == prepared.SYSTEMS_KEPT
    assert tiny_model.system_for(prompts[-1]) is tiny_model.system_for(prompts[-1])
    assert tiny_model.system_for(prompts[0]) is not first
    assert len(built) == len(prompts) + 1


def test_systems_by_name(tiny_model, built):
    image = picture(32, 40)
    plain = tiny_model.segment(image, "road, car")
    named = tiny_model.segment(image, "road, car", system="dense-clip")
    assert np.array_equal(plain.semantic, named.semantic)
    assert built == ["dense-clip"]
    assert tiny_model.segment(image, "road, car", system="lpm").source["system"] == "lpm"
    assert tiny_model.system_for(None, "lpm") is tiny_model.system_for(system="lpm")
    prompts = fitted(tiny_model, "vpt")
    assert tiny_model.system_for(prompts, "vpt") is tiny_model.system_for(prompts)
    with pytest.raises(SegtuneError, match=r"bring their system, vpt; leave system=rpn out"):
        tiny_model.segment(image, prompts=prompts, system="rpn")
    with pytest.raises(SegtuneError, match="nonsense"):
        tiny_model.segment(image, "road", system="nonsense")


def test_kept_systems_do_not_skip_the_check_of_the_model(tiny_model):
    prompts = fitted(tiny_model, "lpm")
    tiny_model.system_for(prompts)
    with pytest.raises(WeightsError, match="were learned on"):
        tiny_model.system_for(replace(prompts, fingerprint="0" * 16))


def test_a_system_that_names_no_masks(tiny_model, monkeypatch):
    """The frozen model answers clicks and reads words, but the system has no class embeddings."""
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    model = Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))
    monkeypatch.setattr(model, "system_for", lambda prompts: tiny_model.system_for(None))
    with pytest.raises(SegtuneError, match="dense-clip does not name the masks"):
        model.segment_points(picture(40, 40), [(3, 3)], vocabulary="road")


# -- words ----------------------------------------------------------------------------------------


def test_only_the_last_words_are_kept(tiny_model):
    first = tiny_model.words(Vocabulary.of("a"))
    for letter in "abcdefghijklmnopqrstuvwxyz"[: prepared.WORDS_KEPT]:
        tiny_model.words(Vocabulary.of(letter))
    assert tiny_model.words(Vocabulary.of("a")) is first
    tiny_model.words(Vocabulary.of("0"))
    tiny_model.words(Vocabulary.of("1"))
    assert len(tiny_model._words) == prepared.WORDS_KEPT
    assert torch.equal(tiny_model.words(Vocabulary.of("b")).embeds, _fresh(tiny_model, "b").embeds)


def _fresh(model: Segmenter, *names: str) -> Words:
    return Segmenter(model.backbone, templates=model.templates).words(Vocabulary.of(*names))


def test_words_for_a_model_that_reads_none():
    words = Segmenter(random_sam()).words(Vocabulary.of("road", "car", negatives=("sky",)))
    assert words.embeds.shape == (3, 0)
    assert (words.names, words.num_negatives) == (("road", "car", "sky"), 1)
    assert words.background is None
    assert words.subset([1]).names == ("car",)


# -- threads --------------------------------------------------------------------------------------

Ask = Callable[[Segmenter], Segmentation]


def _clip(tiny_clip) -> tuple[Segmenter, list[Ask]]:
    model = Segmenter(tiny_clip, templates="name", resolution=Resolution.of(32))
    asks: list[Ask] = []
    for i, size in enumerate([(32, 48), (40, 40), (64, 32), (32, 32)]):
        image, crop = picture(*size, seed=i), 32 - 8 * (i % 2)
        resolution = Resolution.of(32, crop=crop)
        asks.append(lambda m, a=image, r=resolution: m.segment(a, WORDS, resolution=r))
        for system, options in (
            ("rpn", {"train_grid": (4, 4)}),
            ("lora", {"lora_rank": 2}),
            ("vpt", {}),
        ):
            prompts = fitted(model, system, i % 2, **options)
            asks.append(
                lambda m, a=image, p=prompts, r=resolution: m.segment(a, prompts=p, resolution=r)
            )
            more = [*WORDS, f"number {i}"]
            asks.append(lambda m, a=image, p=prompts, w=more: m.segment(a, w, prompts=p))
    return model, asks


def _pair(tiny_clip) -> tuple[Segmenter, list[Ask]]:
    model = Segmenter(
        random_two_stage(tiny_clip), templates="name", resolution=Resolution(32, None, 32)
    )
    prompts = [fitted(model, "simbaseline", seed, prefix_tokens=2) for seed in (0, 1)]
    prompts.append(fitted(model, "ovseg"))
    asks: list[Ask] = []
    for i in range(4):
        image, words = picture(32, 40 + 8 * i, seed=i), [*WORDS, f"number {i}"]
        asks.append(lambda m, a=image, w=words: m.segment(a, w))
        asks += [lambda m, a=image, w=words, p=p: m.segment(a, w, prompts=p) for p in prompts]
    return model, asks


def _seem(_) -> tuple[Segmenter, list[Ask]]:
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    model = Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))
    semantic = [fitted(model, "semprompt", seed, classes=WORDS) for seed in (0, 1)]
    queries = fitted(model, "spaprompt")
    asks: list[Ask] = []
    for i in range(4):
        image, click = picture(48, 48 + 8 * i, seed=i), [(9 + i, 20)]
        asks.append(lambda m, a=image: m.segment(a, WORDS, prompts=queries))
        asks += [lambda m, a=image, p=p: m.segment(a, prompts=p) for p in semantic]
        asks += [
            lambda m, a=image, c=click, p=p: m.segment_points(a, c, prompts=p) for p in semantic
        ]
        asks.append(lambda m, a=image: m.segment_boxes(a, [(3, 3, 30, 30)], vocabulary="a, b"))
        seen = model.look(image)
        asks += [lambda _, s=seen, c=click: s.points(c), lambda _, s=seen: s.words(WORDS)]
    return model, asks


def _sam3(_) -> tuple[Segmenter, list[Ask]]:
    sam = random_sam3()
    sam.tokenizer = LetterTokenizer()
    model = Segmenter(sam, templates="name")
    prompts = [fitted(model, "spaprompt", seed, spatial_target="both") for seed in (0, 1)]
    asks: list[Ask] = []
    for i in range(3):
        image = picture(48, 48 + 8 * i, seed=i)
        asks.append(lambda m, a=image: m.segment(a, WORDS))
        asks += [lambda m, a=image, p=p: m.segment(a, WORDS, prompts=p) for p in prompts]
    return model, asks


def _sam(_) -> tuple[Segmenter, list[Ask]]:
    model = Segmenter(random_sam("sam2"))
    asks: list[Ask] = []
    for i in range(4):
        image = picture(48, 48 + 8 * i, seed=i)
        asks.append(lambda m, a=image: m.segment_points(a, [(9, 9), [(20, 20), (30, 30)]][:1]))
        asks.append(lambda m, a=image: m.segment_boxes(a, [(3, 3, 30, 30)]))
        asks.append(lambda m, a=image: m.segment(a, "object", task="instance"))
    return model, asks


def content(answer: Segmentation) -> list[object]:
    segments = [(s.class_id, s.score, s.box_px, s.mask.tobytes()) for s in answer.segments]
    labels = None if answer.semantic is None else answer.semantic.tobytes()
    return [labels, segments, dict(answer.source)]


@pytest.mark.parametrize("make", [_clip, _pair, _seem, _sam3, _sam])
def test_threads_get_the_answers_of_one_after_another(tiny_clip, make):
    model, asks = make(tiny_clip)
    expected = [content(ask(model)) for ask in asks]
    assert len({repr(each) for each in expected}) > len(expected) // 2  # answers that can be mixed
    shared = Segmenter(model.backbone, templates=model.templates, resolution=model.resolution)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(asks)), 4)).tolist()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda i: content(asks[i](shared)), order))
    finally:
        sys.setswitchinterval(before)
    assert [i for i, each in zip(order, found, strict=True) if each != expected[i]] == []


def test_words_are_encoded_once_for_all_threads(tiny_model, monkeypatch, tmp_path):
    calls = []
    real = tiny_model.backbone.encode_text
    monkeypatch.setattr(tiny_model.backbone, "encode_text", lambda x: calls.append(0) or real(x))
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tiny_model.words(Vocabulary.of("zebra")), range(16)))
    assert all(each is found[0] for each in found)
    assert len(calls) == 1


def test_answers_do_not_disturb_the_random_numbers_of_the_caller(tiny_model):
    prompts = fitted(tiny_model, "vpt")
    state = torch.get_rng_state()
    tiny_model.segment(picture(32, 32), prompts=prompts)
    assert torch.equal(state, torch.get_rng_state())
