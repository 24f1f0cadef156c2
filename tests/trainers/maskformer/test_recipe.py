"""The published values, the schedule by hand, and settings that make no sense."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from segtune.backbones.cards import CARDS
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.files import load_maskformer
from segtune.backbones.maskformer.model import MaskFormer
from segtune.errors import SegtuneError
from segtune.trainers.maskformer.presets import PRESETS
from segtune.trainers.maskformer.recipe import KIND, make_recipe, read_recipe

PAPERS = {
    # steps, batch, rate, decay, encoder's share, warm-up, crop, short sides, test size, frozen
    "ovseg-swinb": (120_000, 32, 6e-5, 1e-2, 1.0, 1500, 640, (320, 1280, 16), 640, 0),
    "ovseg-r101c": (120_000, 32, 2e-4, 1e-4, 0.1, 1500, 512, (800, 800, 1), 512, 2),
    "simbaseline-coco": (60_000, 32, 1e-4, 1e-4, 0.1, 0, 640, (320, 960, 11), 640, 0),
    "simbaseline-voc": (20_000, 16, 1e-4, 1e-4, 0.1, 0, 512, (320, 960, 11), 512, 0),
    "zegformer-coco": (60_000, 32, 1e-4, 1e-4, 0.1, 0, 640, (320, 960, 11), 640, 0),
    "zegformer-voc": (10_000, 32, 1e-4, 1e-4, 0.1, 0, 512, (256, 1024, 16), 512, 0),
}
"""Table of section 1.3 of the specification."""


@pytest.mark.parametrize("preset", PAPERS)
def test_published_values(preset):
    recipe = make_recipe({"preset": preset, "data": "d"})
    shorts = (min(recipe.shorts), max(recipe.shorts), len(recipe.shorts))
    found = (recipe.steps, recipe.batch, recipe.lr, recipe.weight_decay, recipe.encoder_lr)
    found += (recipe.warmup, recipe.crop, shorts, recipe.dense_size, recipe.freeze_at)
    assert found == PAPERS[preset]
    assert recipe.longest == 4 * recipe.dense_size
    assert (recipe.power, recipe.clip_norm, recipe.dropout) == (0.9, 0.01, 0.1)
    assert recipe.dense_loss is False
    steps = {after - before for before, after in pairwise(recipe.shorts)}
    assert steps <= ({51, 52} if preset == "zegformer-voc" else {64})


R101 = 42.395
"""Million weights of the convolutions: 44.549 of the classifier, less its last layer and norms."""
R101C = R101 + 0.123
"""Two more convolutions in the stem, and a wider input of the first block."""
SIZES = {
    "ovseg-swinb": 86.9,
    "ovseg-r101c": R101C,
    "simbaseline-coco": R101C,
    "simbaseline-voc": R101C,
    "zegformer-coco": R101,
    "zegformer-voc": R101,
}


@pytest.mark.parametrize("preset", SIZES)
def test_every_preset_builds_its_model(preset):
    config = make_recipe({"preset": preset, "data": "d"}).model_config(512)
    with torch.device("meta"):
        model = MaskFormer(config)
    found = sum(p.numel() for p in model.image_encoder.parameters()) / 1e6
    assert found == pytest.approx(SIZES[preset], abs=0.05 if "swin" in preset else 1e-3)
    assert (config.class_hidden is None) == preset.startswith("zegformer")
    encoder = config.image_encoder
    if isinstance(encoder, SwinConfig):
        assert encoder.drop_path == 0.3
    else:
        plain = ((64,), (1, 1, 1)) if preset.startswith("zegformer") else ((64, 64, 128), (1, 2, 4))
        assert (encoder.stem, encoder.dilations) == plain


def test_the_small_preset_has_the_sizes_of_the_bundled_model():
    config = make_recipe({"preset": "tiny"}).model_config(128)
    plain = replace(config, dropout=0.0, image_encoder=replace(config.image_encoder, drop_path=0.0))
    assert plain == load_maskformer(CARDS["maskformer-tiny"].path()).config
    assert set(PRESETS) == {*SIZES, "tiny"}


@pytest.mark.parametrize(
    ("step", "rate"),
    [  # 6e-5 (1 - step / 120000)^0.9, times 1e-6 + (1 - 1e-6) step / 1500 before 1500
        (0, 6.0e-11),
        (1, 4.00597e-8),
        (750, 2.98313e-5),
        (1499, 5.92855e-5),
        (1500, 5.93246e-5),
        (60_000, 3.21532e-5),
        (119_999, 1.61e-9),
        (120_000, 0.0),
    ],
)
def test_rates_of_ovseg(step, rate):
    recipe = make_recipe({"data": "d"})
    assert recipe.pace().rate(step, recipe.lr) == pytest.approx(rate, rel=1e-3, abs=1e-15)


@pytest.mark.parametrize(("step", "factor"), [(0, 1.0), (5, 0.535887), (9, 0.125893), (10, 0.0)])
def test_rates_without_warmup(step, factor):
    recipe = make_recipe({"preset": "simbaseline-voc", "data": "d", "steps": 10})
    assert recipe.pace().rate(step, 1.0) == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("file", sorted(Path("recipes/ovseg").glob("maskformer-*.yaml")), ids=str)
def test_the_recipes_of_the_repository_are_read(file):
    recipe = read_recipe(file, overrides={"data": "somewhere", "seed": 5})
    assert (recipe.data, recipe.seed) == ("somewhere", 5)
    assert make_recipe(KIND.values(recipe)) == recipe  # what a run writes starts it again
    preset = recipe.name if recipe.name in PRESETS else "tiny"
    plain = make_recipe({"preset": preset, "data": "somewhere", "seed": 5})
    assert replace(recipe, init=None) == plain  # files add nothing but weights to start from


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "names no data; add for example --set data=COCO"),
        ({"preset": "ovseg-swinbb"}, "is not a preset; did you mean ovseg-swinb"),
        ({"preset": 3}, "'3' is not a preset"),
        ({"data": "d", "speed": 3}, "'speed' is not a field"),
        ({"data": "d", "lr": "fast"}, "lr='fast'; expected float"),
        ({"data": "d", "precision": "fp8"}, "expected fp32 or bf16"),
        (
            {"data": "d", "encoder": "swin-x"},
            "'swin-x' is not a known image encoder; did you mean swin-",
        ),
        ({"data": "d", "batch": 6, "accumulate": 4}, "batch=6 cannot be cut into accumulate=4"),
        ({"data": "d", "crop": 100}, "crop that is a multiple of 32"),
        ({"data": "d", "shorts": []}, "at least one short side"),
        ({"data": "d", "lr": 0.0}, "lr=0.0; expected more than 0"),
        ({"data": "d", "hidden": 260}, "hidden=260, decoder_heads=8"),
        ({"data": "d", "fpn_width": 100}, "fpn_width=100; .* a multiple of 32"),
        ({"data": "d", "num_queries": 0}, "num_queries=0; expected 1 or more"),
        ({"data": "d", "steps": 0}, "steps=0; expected 1 or more"),
        ({"data": "d", "dropout": 1.0}, "dropout=1.0"),
        ({"data": "d", "drop_path": -0.1}, "drop_path=-0.1"),
        ({"data": "d", "freeze_at": 2}, "is for ResNets"),
        ({"data": "d", "encoder": "r50", "freeze_at": 6}, "0 to 5"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(SegtuneError, match=message) as caught:
        make_recipe(settings)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"such as recipes/ovseg/maskformer-tiny\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(SegtuneError, match="is not a mapping"):
        read_recipe(tmp_path / "list.yaml")
