"""Prompt files of every preset: equal answers after loading, and what is refused."""

import json

import pytest

from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.fewshot.fit import FitConfig, fit
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import build_system
from segtune.systems.base import Words
from segtune.train.config import LoopConfig
from segtune.types import Vocabulary

from .conftest import (
    FIT,
    LEARNING,
    OTHERS,
    answers,
    build,
    same,
    same_result,
    shaken,
)


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
        assert same_result(*results)
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
