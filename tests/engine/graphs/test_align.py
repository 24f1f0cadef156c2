"""Alignment: the pairs that stage 2 finds as it learns, interrupted, by one process and by two."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.backbones.uniovseg.files import save_uniovseg
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.data.formats import open_dataset
from segtune.data.pairs import read_pairs
from segtune.engine.entries import finish, work_folder
from segtune.engine.graphs.align import AlignConfig, align
from segtune.engine.runners.local import LocalRunner
from segtune.engine.source import divided
from segtune.ops.resize import to_original
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer
from segtune.trainers.uniovseg.captions_pairs import PairFinder
from segtune.trainers.uniovseg.captions_recipe import make_recipe
from segtune.trainers.uniovseg.captions_run import fresh_system
from segtune.vocabulary.nouns.registry import make_extractor
from segtune.vocabulary.templates import read_templates

SETTINGS = {"grid": 3, "min_iou": 0.0, "max_iou": 0.95, "max_inside": None}
CONFIG = AlignConfig(sizes=(64, 96), templates=read_templates("single"))
RULES = partial(make_extractor, "rules")


@pytest.fixture(autouse=True)
def shards_of_two(monkeypatch):
    monkeypatch.setattr(divided, "__defaults__", (2,))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    root = tmp_path_factory.mktemp("align")
    text = replace(TINY.clip.text, vocab_size=600, context_length=64)
    model = random_uniovseg(replace(TINY, clip=replace(TINY.clip, text=text)), seed=4)
    model.clip.tokenizer = train_tokenizer(
        ["a photo of a green grass and a red star."], vocab_size=600, context_length=64
    )
    rng = np.random.default_rng(0)
    rows = []
    for i, thing in enumerate(("house", "tree", "car", "dog", "house")):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(root / f"{i}.png")
        rows.append({"image": f"{i}.png", "captions": ["A red star.", f"Grass and a {thing}."]})
    (root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "model": str(save_uniovseg(model, root / "model")),
        "data": str(root / "captions.jsonl"),
        "split": None,
        "templates": "single",
        "sizes": [64, 96],
        "settings": SETTINGS,
    }
    return make_recipe(values)


def run(recipe, out, config=CONFIG, **options):
    data = open_dataset(recipe.data, split=None)
    build = partial(fresh_system, recipe)
    return align(data, build, RULES, out=out, config=config, progress=False, **options)


def test_pairs_are_those_of_stage_2(recipe, tmp_path):
    mined = run(recipe, tmp_path / "a.jsonl")
    system = fresh_system(recipe)
    finder = PairFinder(system, RULES(), recipe)
    data = open_dataset(recipe.data, split=None)
    pairs = list(read_pairs(tmp_path / "a.jsonl"))
    assert len(pairs) == 5 * 3
    for index in range(len(data)):
        sample = data[index]
        looked = system.look(sample.pixels(), system.backbone.dense_size)
        known = finder(sample, looked)
        masks = (to_original(known.mask_logits, looked.geometry) > 0).numpy()
        own = {pair.text: pair for pair in pairs if pair.id == sample.id}
        assert set(own) == set(finder.entities(sample.captions))
        found = 0
        for mask, embed in zip(masks, known.text_embeds, strict=True):
            word = max(own, key=lambda each: float(finder._texts([each])[0] @ embed))
            found += bool((own[word].mask() == mask).all())
        assert found == len(own)
    assert [entry.index for entry in mined.entries] == list(range(5))


def test_costs_margins_and_cosines_are_kept(recipe, tmp_path):
    mined = run(recipe, tmp_path / "a.jsonl")
    (row, *_) = mined.ran.columns(mined.entries.graph, ("pairs", "nouns", "rles"))
    for noun, mask, score, cost, margin, small, large in row["pairs"]:
        assert 0 <= noun < len(row["nouns"])
        assert 0 <= mask < len(row["rles"])
        assert score == pytest.approx((small + large) / 2, abs=2e-5)
        assert 0 <= cost <= 1
        assert margin is None or -1 <= margin <= 1


def test_another_threshold_reruns_the_matching_alone(recipe, tmp_path):
    out = tmp_path / "a.jsonl"
    run(recipe, out)
    manifest = work_folder(out) / "manifest.jsonl"
    before = len(manifest.read_text().splitlines())
    believed = replace(CONFIG, confidence=replace(CONFIG.confidence, top=0.5))
    run(recipe, out, believed)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()[before:]]
    assert [(line["stage"], line["shard"]) for line in lines] == [("match", i) for i in range(3)]
    assert len(list(read_pairs(out))) == 5


@pytest.mark.slow
def test_two_processes_give_the_file_of_one(recipe, tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(recipe, one)
    finish(run(recipe, two, runner=LocalRunner(2)))
    assert one.read_bytes() == two.read_bytes()
    assert not work_folder(two).exists()


def test_a_phrase_is_embedded_once(recipe, tmp_path, monkeypatch):
    seen = []

    def embedder(build, templates):
        def embed(phrase):
            seen.append(phrase)
            return torch.nn.functional.normalize(torch.ones(16), dim=0).half().numpy()

        return embed

    monkeypatch.setattr("segtune.engine.graphs.align._embedder", embedder)
    run(recipe, tmp_path / "a.jsonl")
    assert sorted(seen) == sorted(set(seen))
    assert {"house", "tree", "car", "dog"} <= set(seen)
