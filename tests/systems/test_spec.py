"""What systems declare: every name can be imported, every kind exists, and defaults are derived."""

import json
import subprocess
import sys

import pytest

from segtune.backbones import MODELS
from segtune.errors import SegtuneError
from segtune.fewshot.config import FitConfig, default_config
from segtune.storage.registry import resolve
from segtune.systems import (
    SYSTEMS,
    build_system,
    configured,
    default_system,
    default_systems,
    systems_for,
    zero_shot_system,
)
from segtune.systems.base import System
from segtune.systems.spec import FitDefaults

EVERY = list(SYSTEMS)


@pytest.mark.parametrize("name", EVERY)
def test_everything_that_is_named_is_there(name):
    spec = SYSTEMS[name]
    named = [spec.note_on_fit, spec.note_on_loss, spec.checkpoint_reader]
    named += [trainer.run for trainer in spec.trainers]
    for build in spec.builds:
        assert build.kind in MODELS
        assert issubclass(resolve(build.system), System)
        named += [build.config, build.options_of_model]
    assert all(callable(resolve(target)) for target in named if target)


@pytest.mark.parametrize("name", EVERY)
def test_every_variant_is_a_config_and_no_other(name):
    spec = SYSTEMS[name]
    for build in spec.builds:
        default = configured(name, build)
        for variant in spec.variants:
            given = configured(name, build, {"variant": variant})
            assert (given == default) == (variant == spec.variants[0])
        with pytest.raises(SegtuneError, match="variant"):
            configured(name, build, {"variant": "none of them"})


def test_every_system_has_a_case_on_every_kind():
    for spec in SYSTEMS.values():
        kinds = {kind for case in spec.cases for kind in case.kinds or spec.kinds}
        assert kinds == set(spec.kinds), spec.name
        names = [case.name for case in spec.cases]
        assert len(set(names)) == len(names), spec.name


def test_every_kind_that_answers_has_one_zero_shot_system():
    for kind in {kind for spec in SYSTEMS.values() for kind in spec.kinds}:
        answers = [s.name for s in SYSTEMS.values() if s.is_zero_shot and kind in s.kinds]
        assert answers == [zero_shot_system(kind)]
        assert not SYSTEMS[answers[0]].learns
        if systems_for(kind):
            assert default_system(kind) == systems_for(kind)[0]


def test_the_order_is_that_of_the_tables():
    assert [default_system(kind) for kind in ("seem", "sam", "sam3")] == ["ssprompt"] * 3
    assert EVERY[0] == "ssprompt"
    assert EVERY[-1] == "dense-clip"
    assert default_systems() == (
        "rpn on CLIP ViT, ssprompt on SEEM, SAM, SAM 2 or SAM 3, ovseg on proposals with a CLIP, "
        "uniovseg on Uni-OVSeg"
    )


def test_kinds_without_systems_are_told():
    for choose in (default_system, zero_shot_system):
        with pytest.raises(SegtuneError, match="on a model of kind maskformer; choose a model of"):
            choose("maskformer")


def test_a_system_on_another_model_is_refused(tiny_clip):
    with pytest.raises(SegtuneError, match=r"coop runs on a model of kind seem but .* clip-vit"):
        build_system("coop", tiny_clip)
    with pytest.raises(SegtuneError, match="'vtp' is not a system; did you mean vpt"):
        build_system("vtp", tiny_clip)
    with pytest.raises(SegtuneError, match="dense-clip has no option valuepath"):
        build_system("dense-clip", tiny_clip, {"valuepath": False})


def test_defaults_of_a_fit_are_those_of_the_spec():
    assert default_config("rpn") == FitConfig()
    seem = default_config("semprompt")
    assert (seem.loop.steps, seem.loop.lr, seem.loop.optimizer) == (300, 0.02, "sgd")
    assert (seem.loop.clip_norm, seem.loop.warmup, seem.loop.weight_decay) == (None, 10, 1e-4)
    assert (seem.views, seem.scale, seem.distort, seem.trial_steps) == (2, (1.0, 1.0), False, 100)
    assert default_config("coop").loop.clip_norm == 1.0
    assert default_config("simbaseline").loop.steps == 600
    assert default_config("ovseg").views == 0


def test_factors_belong_to_tasks():
    assert default_config("ssprompt").rate_factors == (1.0, (10.0, 0.1))
    assert default_config("ssprompt", "instance").rate_factors == (1.0,)
    assert default_config("coop").rate_factors == default_config("coop", "panoptic").rate_factors
    assert FitDefaults().factors_of("instance") == ()


def test_listing_them_imports_nothing_heavy():
    code = (
        "import sys, json; from segtune.systems import SYSTEMS, default_systems; "
        "from segtune.backbones import MODELS; from segtune.trainers import trainers; "
        "default_systems(), trainers(), list(MODELS); "
        "print(json.dumps(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
