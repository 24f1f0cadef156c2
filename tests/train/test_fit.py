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

from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.prompts import Prompts
from segtune.train.fit import FitConfig, fit, make_stages
from segtune.train.loop import LoopConfig

LOOP = LoopConfig(steps=4, lr=1e-3, warmup_steps=0, save_every=2)
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
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
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
    with pytest.raises(SegtuneError, match="no system"):
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


def test_not_a_number_stops_the_run_with_the_checkpoint_kept(tiny_model, data, tmp_path):
    out = tmp_path / "a.safetensors"
    with pytest.raises(SegtuneError, match="loss became"):
        fit(
            tiny_model,
            data,
            shots=2,
            config=replace(CONFIG, loop=replace(LOOP, lr=1e20, steps=60)),
            out=out,
        )
    assert not out.exists()


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = {paths}
    from segtune.data.synthetic.dataset import SyntheticDataset
    from segtune.backbones.clip_vit import random_clip_vit
    from segtune.segmenter import Resolution, Segmenter
    from segtune.train.fit import FitConfig, fit
    from segtune.train.loop import LoopConfig
    from tests.conftest import LetterTokenizer

    clip = random_clip_vit(layers=3, context=64, seed=1)
    clip.tokenizer = LetterTokenizer()
    model = Segmenter(clip, templates="name", resolution=Resolution.of(32))
    data = SyntheticDataset("jargon", "train", size=(64, 64), length=6)
    config = FitConfig(
        loop=LoopConfig(steps=8, lr=1e-3, warmup_steps=0, save_every=3), batch=2, views=2, crop=32
    )
    kill_at = int(sys.argv[2])
    def on_step(done, prompts_now):
        if done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    fit(model, data, shots=3, config=config, out=Path(sys.argv[1]), on_step=on_step)
"""


@pytest.mark.slow
def test_killed_and_resumed_gives_the_identical_file(tmp_path):
    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "run.py"
    paths = repr([str(root / "src"), str(root)])
    script.write_text(textwrap.dedent(SCRIPT).format(paths=paths))
    environment = os.environ | {"SEGTUNE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def run(name: str, kill_at: int) -> int:
        command = [sys.executable, str(script), str(tmp_path / name), str(kill_at)]
        return subprocess.run(command, env=environment, check=False, timeout=120).returncode

    assert run("whole.safetensors", -1) == 0
    assert run("killed.safetensors", 5) == -signal.SIGKILL
    assert not (tmp_path / "killed.safetensors").exists()
    assert (tmp_path / "killed.safetensors.checkpoint").exists()
    assert run("killed.safetensors", -1) == 0
    whole, killed = (tmp_path / f"{n}.safetensors" for n in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    logs = [p.with_name(p.name + ".log.jsonl").read_text() for p in (whole, killed)]
    assert logs[0] == logs[1]
