"""Whole runs: their files, exact resume, what they learn from, and what they refuse."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, SwinModel

import segtune
from segtune.backbones.cards import CARDS
from segtune.backbones.hub import load_backbone
from segtune.backbones.maskformer.files import load_maskformer, save_maskformer
from segtune.backbones.maskformer.keys import state_to_official
from segtune.errors import SegtuneError, WeightsError
from segtune.systems.ovseg.config import configure, options_of_model
from segtune.train.checkpoints import read_state
from segtune.trainers.maskformer import init as init_module
from segtune.trainers.maskformer import run as run_module
from segtune.trainers.maskformer.recipe import ProposalRecipe, make_recipe, read_recipe
from segtune.trainers.maskformer.run import (
    export_run,
    fresh_model,
    make_trainee,
    open_labelled,
    run,
    write_pair,
)
from tests.trainers.maskformer.conftest import Scenes


@pytest.fixture
def finished(recipe: ProposalRecipe, tmp_path: Path) -> Path:
    """The folder of an uninterrupted run of two steps."""
    out = tmp_path / "through"
    assert run(recipe, out=out, progress=False) == out / "model"
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_leaves_model_log_and_recipe(finished, recipe):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    parts = {"class", "mask", "dice"}
    assert set(rows[0]) == parts | {"step", "lr", "loss", "seconds"}
    assert rows[0]["loss"] == pytest.approx(sum(rows[0][part] for part in parts), abs=1e-3)
    assert read_recipe(finished / "recipe.yaml") == recipe
    model = load_maskformer(finished / "model")
    assert (model.name, model.dense_size, model.config.dropout) == ("maskformer-tiny", 64, 0.1)
    trained = {key.removeprefix("model."): value for key, value in weights(finished).items()}
    assert same(model.state_dict(), trained)  # in full precision
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_interrupted_and_resumed_equals_uninterrupted(finished, recipe, tmp_path):
    """Dropout and stochastic depth are on, so their randomness goes on too."""
    assert recipe.dropout
    assert recipe.drop_path
    out = tmp_path / "parts"
    assert run(recipe, out=out, stop_after=1, progress=False) is None
    assert not (out / "model").exists()
    torch.rand(7)
    again = replace(recipe, workers=1, save_every=5)  # these may change
    assert run(again, out=out, resume=True, progress=False) == out / "model"
    assert same(weights(out), weights(finished))
    one, two = (read_state(p / "checkpoint.pt")["parts"]["adamw"]["state"] for p in (out, finished))
    assert all(torch.equal(one[i]["exp_avg_sq"], two[i]["exp_avg_sq"]) for i in one)
    with pytest.raises(SegtuneError, match="other settings for lr;"):
        run(replace(recipe, lr=1.0), out=finished, resume=True)
    with pytest.raises(SegtuneError, match="already holds a run"):
        run(recipe, out=finished)


def test_the_rates_of_the_groups_follow_the_schedule(recipe, tmp_path):
    recipe = replace(recipe, encoder_lr=0.1, lr=1e-3, steps=4, warmup=2, warmup_from=0.0)
    rates = []
    for stop in (1, 2, 3, 4):
        run(recipe, out=tmp_path, stop_after=stop, resume=stop > 1, progress=False)
        groups = read_state(tmp_path / "checkpoint.pt")["parts"]["adamw"]["param_groups"]
        rates.append(sorted({group["lr"] for group in groups}))
    decay = [1, 0.75**0.9, 0.5**0.9, 0.25**0.9]
    warm = [0, 0.5, 1, 1]
    expected = [[1e-4 * d * w, 1e-3 * d * w] for d, w in zip(decay, warm, strict=True)]
    assert rates[0] == [0.0]
    for found, wanted in zip(rates[1:], expected[1:], strict=True):
        assert found == pytest.approx(wanted)


def test_accumulated_steps_equal_whole_ones(recipe, tmp_path):
    recipe = replace(recipe, dropout=0.0, drop_path=0.0, batch=4)
    run(recipe, out=tmp_path / "whole", progress=False)
    run(replace(recipe, accumulate=2), out=tmp_path / "cut", progress=False)
    rows = [
        json.loads(line)
        for out in ("whole", "cut")
        for line in (tmp_path / out / "log.jsonl").read_text().splitlines()
    ]
    for whole, cut in zip(rows[:2], rows[2:], strict=True):
        assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_every_parameter_learns(finished, recipe):
    trainee, _ = make_trainee(recipe, open_labelled(recipe))
    before, after = trainee.state_dict(), weights(finished)
    assert "words" not in after
    assert not [key for key in after if torch.equal(before[key], after[key])]


def test_unseen_classes_are_neither_words_nor_targets(recipe, tmp_path, monkeypatch):
    """A run on images whose labels leave them out is the same to the last bit."""

    class LeftOut(Scenes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, semantic=np.where(sample.semantic == 4, -1, sample.semantic))

    for scenes in (Scenes, LeftOut):
        monkeypatch.setattr(run_module, "open_dataset", lambda *_, made=scenes, **__: made())
        run(recipe, out=tmp_path / scenes.__name__, progress=False)
    assert same(weights(tmp_path / "Scenes"), weights(tmp_path / "LeftOut"))
    trainee, class_ids = make_trainee(recipe, Scenes())
    assert class_ids == [0, 1, 2, 3]
    assert len(trainee.words) == 4


def test_the_model_segments_with_a_clip(finished):
    model = segtune.load(f"{finished / 'model'}+clip-vit-tiny", device="cpu")
    image = Scenes()[0].pixels()
    result = model.segment(image, "grass, star")
    assert result.semantic.shape == image.shape[:2]
    folder = segtune.load(str(finished), device="cpu")
    assert folder.backbone.fingerprint == model.backbone.fingerprint
    assert folder.templates.name == "single"


@pytest.mark.parametrize(
    ("preset", "system", "settings"),
    [
        ("ovseg-swinb", "ovseg", {}),
        ("ovseg-r101c", "ovseg", {"threshold": 0.5}),
        ("simbaseline-coco", "simbaseline", {}),
        ("simbaseline-voc", "simbaseline", {"weight": 0.7}),
        ("zegformer-coco", "zegformer", {}),
        ("zegformer-voc", "zegformer", {}),
    ],
)
def test_the_folder_answers_as_its_system(preset, system, settings, tmp_path):
    """The settings of the loaded pair, with the small bundled weights in place of large ones."""
    published = make_recipe({"preset": preset, "data": "d"})
    joint = load_maskformer(CARDS["maskformer-tiny"].path())
    save_maskformer(joint, tmp_path / "model")
    write_pair(replace(published, text="clip-vit-tiny"), tmp_path)
    pair = load_backbone(tmp_path, device="cpu")
    assert (pair.recipe, pair.settings, pair.name) == (system, settings, preset)
    assert (pair.dense_size, pair.templates) == (published.dense_size, published.templates)
    config = configure("two-stage", options_of_model("two-stage", pair))
    assert config.threshold == (0.4 if preset == "ovseg-swinb" else 0.5)
    by_weight = {"ovseg": 0.7, "simbaseline": 0.8, "zegformer": 2 / 3}
    assert config.weight == settings.get("weight", by_weight[system])


def test_export_of_a_running_job(finished, tmp_path):
    export_run(finished, tmp_path / "copy")
    one, two = (load_maskformer(p).state_dict() for p in (finished / "model", tmp_path / "copy"))
    assert same(one, two)


# -- where it starts ----------------------------------------------------------------------------


def start(recipe: ProposalRecipe, init: str | None, caplog) -> dict[str, torch.Tensor]:
    with caplog.at_level(logging.INFO, logger="segtune"):
        caplog.clear()
        trainee, _ = make_trainee(replace(recipe, init=init), Scenes())
    return trainee.model.state_dict()


def test_fresh_weights_are_said_to_be_fresh(recipe, caplog):
    first, again = start(recipe, None, caplog), start(recipe, None, caplog)
    assert same(first, again)
    assert "init: none, all weights are fresh" in caplog.text
    assert not same(first, start(replace(recipe, seed=1), None, caplog))


def test_it_starts_from_a_whole_model(recipe, tmp_path, caplog):
    torch.manual_seed(5)
    other = fresh_model(recipe, joint_width=128)
    folder = save_maskformer(other, tmp_path / "other")
    official = state_to_official(other.state_dict(), other.config)
    official["clip_adapter.clip_model.logit_scale"] = torch.ones(())
    torch.save({"model": official}, tmp_path / "other.pth")
    for init in (folder, tmp_path / "other.pth"):
        assert same(start(recipe, str(init), caplog), other.state_dict())
        assert "init: the whole model from" in caplog.text
    with pytest.raises(WeightsError, match="wrong shape"):
        start(replace(recipe, num_queries=7), str(folder), caplog)
    bundled = make_recipe({"preset": "tiny"})
    assert start(bundled, "maskformer-tiny", caplog).keys() == other.state_dict().keys() | {
        key.replace("layers.1", "layers.2") for key in other.state_dict()
    }


def test_it_starts_from_an_image_encoder(recipe, tmp_path, caplog):
    torch.manual_seed(5)
    other = fresh_model(recipe, joint_width=128)
    official = state_to_official(other.state_dict(), other.config)
    encoder = {
        key.removeprefix("backbone."): value
        for key, value in official.items()
        if key.startswith("backbone.") and not key.startswith("backbone.norm")
    }
    torch.save({"model": encoder}, tmp_path / "swin.pth")
    found, fresh = start(recipe, str(tmp_path / "swin.pth"), caplog), None
    assert "init: the image encoder from" in caplog.text
    assert "fresh in it: output_norms.0.weight" in caplog.text
    fresh = start(recipe, None, caplog)
    for key, value in found.items():
        from_file = key.startswith("image_encoder.") and "output_norms" not in key
        assert torch.equal(value, other.state_dict()[key] if from_file else fresh[key]), key


def test_a_name_of_the_hub(recipe, tmp_path, caplog, monkeypatch):
    """Safetensors first; repositories that have none are read from their older file."""
    sizes = recipe.model_config(1).image_encoder
    small = {"embed_dim": sizes.embed_dim, "depths": sizes.depths, "num_heads": sizes.num_heads}
    config = AutoConfig.for_model("swin", **small, window_size=4, image_size=64)
    SwinModel(config).save_pretrained(tmp_path / "hub")
    state = load_file(tmp_path / "hub/model.safetensors")
    (tmp_path / "hub/model.safetensors").unlink()
    asked = []

    def download(name, *, example, weights="*.safetensors"):
        asked.append((name, weights))
        if weights == "pytorch_model.bin":
            torch.save(state, tmp_path / "hub/pytorch_model.bin")
        return tmp_path / "hub"

    monkeypatch.setattr(init_module, "download", download)
    found = start(recipe, "someone/swin", caplog)
    assert asked == [("someone/swin", "*.safetensors"), ("someone/swin", "pytorch_model.bin")]
    patches = state["embeddings.patch_embeddings.projection.weight"]
    assert torch.equal(found["image_encoder.patches.weight"], patches)


# -- what it refuses ----------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[Exception]) -> bool:
    return "\n" not in str(error.value)


def test_data_without_label_maps(recipe, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (20, 16)).save(tmp_path / "images/a.png")
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 16}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81}
            | {"segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]], "iscrowd": 0}
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    changed = replace(recipe, data=str(tmp_path / "instances.json"), split=None)
    with pytest.raises(SegtuneError, match="no label map; mask proposals learn one mask") as error:
        open_labelled(changed)
    assert one_line(error)


def test_other_mistakes(recipe, tmp_path, monkeypatch):
    with pytest.raises(SegtuneError, match="is a seem; words come from a CLIP ViT") as error:
        run(replace(recipe, text="seem-tiny"), out=tmp_path / "run")
    assert one_line(error)
    with pytest.raises(SegtuneError, match=r"protocol voc15-5 has 20 classes .* has 4") as error:
        run(replace(recipe, protocol="voc15-5"), out=tmp_path / "run")
    assert one_line(error)
    monkeypatch.setattr(run_module, "default_device", lambda: torch.device("cpu"))
    with pytest.raises(SegtuneError, match="precision=bf16 needs an accelerator") as error:
        run(replace(recipe, precision="bf16"), out=tmp_path / "run")
    assert one_line(error)
    with pytest.raises(FileNotFoundError, match=r"no model at \./nothing") as error:
        run(replace(recipe, init="./nothing"), out=tmp_path / "run")
    assert one_line(error)
    assert not (tmp_path / "run").exists()
