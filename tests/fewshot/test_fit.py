"""Few-shot fits on the smallest possible model: what is learned, resumed, and refused."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segtune.data.shots import class_presence
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.fewshot.config import FitConfig, default_config
from segtune.fewshot.fit import fit
from segtune.fewshot.plan import few_shot, make_stages
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import SYSTEMS as REGISTERED
from segtune.systems.ssprompt.model import PromptedSeem
from segtune.train.config import LoopConfig
from segtune.types import Resolution
from tests.conftest import LetterTokenizer

LOOP = LoopConfig(steps=4, lr=1e-3, warmup=0, save_every=2)
CONFIG = FitConfig(loop=LOOP, batch=2, views=2, crop=32)
SYSTEMS = ["rpn", "zegclip", "vpt", "lora", "lpm"]


@pytest.fixture
def data():
    return SyntheticDataset("jargon", "train", size=(64, 64), length=6)


def _same(a: Prompts, b: Prompts) -> bool:
    return all(torch.equal(a.tensors[key], b.tensors[key]) for key in a.tensors)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_learns_and_answers_from_its_file(tiny_model, data, tmp_path, system):
    options = {"decoder_heads": 4} if system == "zegclip" else {}
    out = tmp_path / "a.prompts.safetensors"
    prompts = fit(tiny_model, data, system=system, options=options, shots=3, config=CONFIG, out=out)
    assert out.is_file()
    assert not out.with_name(out.name + ".checkpoint").exists()
    rows = [json.loads(line) for line in out.with_name(out.name + ".log.jsonl").open()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    loaded = Prompts.load(out)
    assert loaded.vocabulary == data.vocabulary
    assert loaded.training["setting"] == "supervised"
    sample = data[5]
    a = tiny_model.segment(sample, prompts=prompts)
    b = tiny_model.segment(sample, prompts=loaded)
    assert (a.semantic == b.semantic).all()
    assert a.semantic.shape == sample.semantic.shape


def test_nothing_frozen_moves_and_every_prompt_does(tiny_model, data):
    before = {k: v.clone() for k, v in tiny_model.backbone.state_dict().items()}
    config = replace(CONFIG, loop=replace(LOOP, weight_decay=0.0))
    first = fit(tiny_model, data, shots=3, config=replace(config, loop=replace(LOOP, lr=1e-9)))
    later = fit(tiny_model, data, shots=3, config=config)
    assert all(torch.equal(v, before[k]) for k, v in tiny_model.backbone.state_dict().items())
    moved = {k for k in later.tensors if not torch.allclose(first.tensors[k], later.tensors[k])}
    still = {
        k for k in later.tensors if k not in moved and "w_noise" not in k and "w_gate" not in k
    }
    experts = {k for k in still if k.startswith("experts.")}  # an expert no image chose
    assert not still - experts


def test_same_seed_same_prompts_and_views_do_not_matter_for_that(tiny_model, data):
    for views in (2, 0):
        config = replace(CONFIG, views=views)
        assert _same(
            fit(tiny_model, data, shots=3, config=config),
            fit(tiny_model, data, shots=3, config=config),
        )
    assert not _same(
        fit(tiny_model, data, shots=3, config=CONFIG),
        fit(tiny_model, data, shots=3, seed=1, config=CONFIG),
    )


def test_settings_decide_which_classes_are_seen(tiny_model):
    data = SyntheticDataset("base-15-5", "train-open", size=(64, 64), length=4)
    templates = tiny_model.templates
    first, second = make_stages(tiny_model, data, templates, "transductive")
    unseen = data.vocabulary.ids_in("unseen")
    labels = torch.tensor([[[0, unseen[0], -1]]])
    assert len(first.words.embeds) == len(data.vocabulary) - len(unseen)
    assert first.targets(labels).semantic.tolist() == [[[0, -1, -1]]]
    assert len(second.words.embeds) == len(data.vocabulary)
    assert second.targets(labels).semantic.tolist() == [[[0, -2, -1]]]
    prompts = fit(
        tiny_model, data, shots=2, config=replace(CONFIG, setting="transductive", distort=False)
    )
    assert prompts.training["setting"] == "transductive"
    assert fit(tiny_model, data, shots=2, config=CONFIG).training["setting"] == "inductive"


def test_wrong_requests_are_refused_in_one_line(tiny_model, data):
    with pytest.raises(SegtuneError, match="learns nothing"):
        fit(tiny_model, data, shots=2, system="dense-clip", config=CONFIG)
    with pytest.raises(SegtuneError, match="'rnp' is not a system; did you mean rpn"):
        fit(tiny_model, data, shots=2, system="rnp", config=CONFIG)
    with pytest.raises(SegtuneError, match="no option"):
        fit(tiny_model, data, shots=2, options={"tokens": 3}, config=CONFIG)
    with pytest.raises(SegtuneError, match="tagged unseen"):
        fit(tiny_model, data, shots=2, config=replace(CONFIG, setting="inductive"))
    with pytest.raises(SegtuneError, match="16 shots"):
        fit(tiny_model, data, shots=16, config=CONFIG)
    prompts = replace(fit(tiny_model, data, shots=2, config=CONFIG), fingerprint="0" * 16)
    with pytest.raises(WeightsError, match="learned on tiny-clip"):
        tiny_model.segment(data[0], prompts=prompts)


def test_after_not_a_number_a_lower_rate_starts_again(tiny_model, data, tmp_path):
    """The same call, as the message says, although a checkpoint of the other rate is left."""
    out = tmp_path / "a.safetensors"
    fast = replace(CONFIG, loop=replace(LOOP, lr=1e20, steps=60, save_every=1))
    with pytest.raises(SegtuneError, match="lower the rate"):
        fit(tiny_model, data, shots=2, config=fast, out=out)
    assert not out.exists()
    assert out.with_name(f"{out.name}.checkpoint").exists()
    prompts = fit(tiny_model, data, shots=2, config=CONFIG, out=out)
    assert _same(prompts, fit(tiny_model, data, shots=2, config=CONFIG))
    assert not out.with_name(f"{out.name}.checkpoint").exists()


def test_a_checkpoint_of_other_settings_is_refused(tiny_model, data, tmp_path):
    out = tmp_path / "a.safetensors"

    def stop(done, prompts_now):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            tiny_model,
            data,
            shots=2,
            config=replace(CONFIG, loop=replace(LOOP, save_every=1)),
            out=out,
            on_step=stop,
        )
    with pytest.raises(
        SegtuneError, match=r"settings for data, seed, config\.loop\.save_every; repeat"
    ):
        fit(tiny_model, data, shots=2, seed=1, config=CONFIG, out=out)


@pytest.fixture
def seem_model():
    """A random SEEM that reads letters and looks at whole images."""
    from segtune.backbones.seem.model import random_seem

    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


WHOLE = replace(CONFIG, crop=None, scale=(1.0, 1.0), distort=False)


@pytest.mark.parametrize("views", [2, 0])
@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_whole_images_teach_every_task(seem_model, task, views):
    data = SyntheticDataset("jargon", "train", size=(64, 96), length=3)
    config = replace(WHOLE, views=views)
    options = {"task": task}
    prompts = fit(seem_model, data, system="ssprompt", options=options, shots=2, config=config)
    assert prompts.resolution == Resolution(64, None, prompts.resolution.stride)
    few = few_shot(data, 2, by="image", seed=0)
    shown = class_presence(few).any(0).nonzero()[0].tolist()
    assert len(shown) < len(data.vocabulary)
    if task == "instance":  # stuff is no target, only a rival, and keeps its embedding
        shown = [i for i in shown if data.vocabulary.concepts[i].kind == "thing"]
    assert prompts.options["classes"] == tuple(data.vocabulary.names[i] for i in shown)
    again = fit(seem_model, data, system="ssprompt", options=options, shots=2, config=config)
    assert _same(prompts, again)
    result = seem_model.segment(data[2], prompts=prompts, task=task, min_score=0.0)
    assert result.size == (64, 96)


def test_masks_need_data_with_instances(seem_model, data, monkeypatch):
    plain = SyntheticDataset.__getitem__
    without = lambda self, index: replace(plain(self, index), instances=())  # noqa: E731
    monkeypatch.setattr(SyntheticDataset, "__getitem__", without)
    options = {"task": "instance"}
    with pytest.raises(SegtuneError, match="has no instance masks"):
        fit(seem_model, data, system="ssprompt", options=options, shots=2, config=WHOLE)


def test_prompts_start_once_with_the_words_that_are_seen(seem_model, monkeypatch):
    started = []
    plain = PromptedSeem.start

    def watch(self, words, *, seed):
        started.append((words.names, seed))
        plain(self, words, seed=seed)

    monkeypatch.setattr(PromptedSeem, "start", watch)
    data = SyntheticDataset("base-15-5", "train", size=(64, 64), length=4)
    prompts = fit(seem_model, data, system="ssprompt", shots=2, seed=5, config=WHOLE)
    vocabulary = data.vocabulary
    seen = tuple(c.name for c in vocabulary if c.group != "unseen")
    assert started == [(seen, 5)]
    assert prompts.training["setting"] == "inductive"
    classes = prompts.options["classes"]
    assert set(classes) < set(seen)
    assert len(prompts.tensors["semantic.fused.embeds"]) == len(classes)


def test_systems_with_equal_features_share_them_on_disk(seem_model, data, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    encoded = []
    plain = PromptedSeem.encode

    def watch(self, pixels):
        encoded.append(self.name)
        return plain(self, pixels)

    monkeypatch.setattr(PromptedSeem, "encode", watch)
    config = replace(WHOLE, cache="disk")
    for system in ("ssprompt", "spaprompt", "semprompt", "coop"):
        fit(seem_model, data, system=system, shots=2, config=config)
    assert encoded == ["ssprompt", "semprompt"]


def test_fits_of_objects_are_not_offered_fast_queries():
    assert (10.0, 0.1) in default_config("ssprompt").rate_factors
    assert default_config("ssprompt", "instance").rate_factors == (1.0,)
    assert default_config("coop", "panoptic") == default_config("coop")


@pytest.mark.parametrize("system", [name for name, spec in REGISTERED.items() if spec.learns])
def test_default_settings_suit_the_model_of_a_system(system):
    config = default_config(system)
    if "two-stage" in REGISTERED[system].kinds:  # masks are cut out of fresh views
        assert (config.views, config.rate_factors) == (0, ())
        assert config.loop.lr == (0.002 if system == "simbaseline" else 0.02)
        return
    if "uniovseg" in REGISTERED[system].kinds:  # the paper's decay; its canvas takes fresh views
        assert (config.views, config.loop.weight_decay) == (0, 0.05)
        return
    if "seem" not in REGISTERED[system].kinds:
        assert config == FitConfig()
        return
    assert (config.crop, config.scale, config.flip, config.distort) == (None, (1, 1), True, False)
    assert config.loop.weight_decay == 1e-4
    assert config.loop.power == 0.9


def test_without_a_config_the_defaults_of_the_system_are_taken(seem_model, data, monkeypatch):
    config = replace(WHOLE, loop=replace(LOOP, steps=1, lr=0.25))
    monkeypatch.setattr("segtune.fewshot.fit.default_config", lambda system, task: config)
    prompts = fit(seem_model, data, system="semprompt", shots=2)
    assert prompts.training["config"]["loop"]["lr"] == 0.25


def test_sgd_is_an_option_of_a_fit(seem_model, data):
    found = [
        fit(
            seem_model,
            data,
            system="ssprompt",
            shots=2,
            config=replace(WHOLE, loop=replace(LOOP, optimizer=optimizer)),
        )
        for optimizer in ("sgd", "sgd", "adamw")
    ]
    assert _same(found[0], found[1])
    assert not _same(found[0], found[2])
    assert found[0].training["config"]["loop"]["optimizer"] == "sgd"


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = {paths}
    from segtune.data.synthetic.dataset import SyntheticDataset
    from segtune.backbones.clip.random import random_clip_vit
    from segtune.backbones.seem.model import random_seem
    from segtune.predict.segmenter import Resolution, Segmenter
    from segtune.fewshot.fit import FitConfig, fit
    from segtune.train.config import LoopConfig
    from tests.conftest import LetterTokenizer

    system = sys.argv[3]
    whole = system != "rpn"
    backbone = random_seem() if whole else random_clip_vit(layers=3, context=64, seed=1)
    backbone.tokenizer = LetterTokenizer()
    resolution = Resolution(32, None, 32) if whole else Resolution.of(32)
    model = Segmenter(backbone, templates="name", resolution=resolution)
    data = SyntheticDataset("jargon", "train", size=(64, 64), length=6)
    config = FitConfig(
        loop=LoopConfig(steps=8, lr=1e-3, warmup=0, save_every=3),
        batch=2,
        views=2,
        crop=None if whole else 32,
    )
    kill_at = int(sys.argv[2])
    def on_step(done, prompts_now):
        if done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    options = dict(embed_init="noise", task="instance") if system == "ssprompt" else {{}}
    out = Path(sys.argv[1])
    fit(
        model, data, system=system, options=options, shots=3, config=config, out=out,
        on_step=on_step,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("system", ["rpn", "ssprompt"])
def test_killed_and_resumed_gives_the_identical_file(tmp_path, system):
    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "run.py"
    paths = repr([str(root / "src"), str(root)])
    script.write_text(textwrap.dedent(SCRIPT).format(paths=paths))
    environment = os.environ | {"SEGTUNE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def run(name: str, kill_at: int) -> int:
        command = [sys.executable, str(script), str(tmp_path / name), str(kill_at), system]
        return subprocess.run(command, env=environment, check=False, timeout=120).returncode

    assert run("whole.safetensors", -1) == 0
    assert run("killed.safetensors", 5) == -signal.SIGKILL
    assert not (tmp_path / "killed.safetensors").exists()
    assert (tmp_path / "killed.safetensors.checkpoint").exists()
    assert run("killed.safetensors", -1) == 0
    whole, killed = (tmp_path / f"{n}.safetensors" for n in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    logs = []
    for path in (whole, killed):
        rows = path.with_name(f"{path.name}.log.jsonl").read_text().splitlines()
        logs.append([json.loads(row) | {"seconds": None} for row in rows])
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == list(range(1, 9))
