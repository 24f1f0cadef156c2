"""From a recipe to files: what is learned, what stays frozen, exact resume, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.backbones.hub import load_backbone
from segtune.errors import SegtuneError, WeightsError
from segtune.prompts import Prompts
from segtune.trainers.pairs.model import Trainee
from segtune.trainers.pairs.recipe import KIND, PairRecipe, Stage, make_recipe, read_recipe
from segtune.trainers.pairs.run import run
from tests.cli.conftest import export_tiny

DATA = "synthetic:base?size=64&length=3"
TINY = {
    "steps": 4,
    "batch": 6,
    "warmup": 1,
    "depth": 2,
    "lr": 1e-3,
    "prompt_lr": 1e-2,
    "data": DATA,
    "templates": "name",
    "save_every": 2,
    "short_side": 64,
}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    return export_tiny(folder, seed=0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _recipe(clip_folder: str, *modes: str, **changes) -> PairRecipe:
    stages = [{"mode": mode} for mode in modes]
    return make_recipe({**TINY, "model": clip_folder, "stages": stages, **changes})


def _state(clip, part: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in clip.model.state_dict().items() if k.startswith(part)}


def _equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_mask_prompts_alone(clip_folder, tmp_path):
    adapted = run(_recipe(clip_folder, "mpt"), out=tmp_path / "run", progress=False)
    assert adapted.model is None
    prompts = Prompts.load(adapted.prompts)
    clip = load_backbone(clip_folder, device="cpu")
    assert prompts.fingerprint == clip.fingerprint
    assert prompts.system == "ovseg"
    assert prompts.options == {"prompt_depth": 2}
    assert prompts.tensors["mask_prompts"].shape == (2, 16, 32)
    assert prompts.resolution.short_side == 64
    assert prompts.num_learned() == 2 * 16 * 32
    image, masks = np.zeros((20, 20, 3), np.uint8), np.tri(20, dtype=bool)[None]
    model = segtune.load(clip_folder, device="cpu")
    named = model.classify_masks(image, masks, "plain, dotted", prompts=prompts)
    bare = model.classify_masks(image, masks, "plain, dotted")
    assert named.segments[0].score != bare.segments[0].score


def test_image_encoder_alone(clip_folder, tmp_path):
    recipe = _recipe(clip_folder, "ft", name="adapted")
    adapted = run(recipe, out=tmp_path / "run", progress=False)
    assert adapted.prompts is None
    assert adapted.model == tmp_path / "run" / "adapted"
    before, after = (load_backbone(p, device="cpu") for p in (clip_folder, adapted.model))
    assert after.name == "adapted"
    assert _equal(_state(before, "text"), _state(after, "text"))
    assert not _equal(_state(before, "vision_model"), _state(after, "vision_model"))
    assert after.model.logit_scale != before.model.logit_scale
    assert after.model.logit_scale <= torch.tensor(100.0).log()
    assert after.normalisation == before.normalisation
    assert torch.equal(after.tokenize(["plain"]), before.tokenize(["plain"]))
    log = [json.loads(line) for line in (tmp_path / "run/1-ft/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3, 4]


@pytest.mark.parametrize("modes", [("ft", "mpt"), ("mpt", "ft"), ("joint",)])
def test_both(clip_folder, tmp_path, modes):
    adapted = run(_recipe(clip_folder, *modes), out=tmp_path / "run", progress=False)
    clip = load_backbone(adapted.model, device="cpu")
    prompts = Prompts.load(adapted.prompts)
    prompts.check_model(clip.name, clip.fingerprint)  # they belong together
    with pytest.raises(WeightsError, match="were learned on"):
        prompts.check_model("tiny", load_backbone(clip_folder, device="cpu").fingerprint)


@pytest.mark.parametrize("modes", [("mpt",), ("ft", "mpt")])
def test_resume_takes_the_same_steps(clip_folder, tmp_path, modes):
    recipe = _recipe(clip_folder, *modes)
    whole = run(recipe, out=tmp_path / "whole", progress=False)
    assert run(recipe, out=tmp_path / "parts", progress=False, stop_after=3) is None
    with pytest.raises(SegtuneError, match="already holds a run; add --resume"):
        run(recipe, out=tmp_path / "parts", progress=False)
    with pytest.raises(SegtuneError, match="other settings for seed"):
        run(replace(recipe, seed=5), out=tmp_path / "parts", progress=False, resume=True)
    parts = run(recipe, out=tmp_path / "parts", progress=False, resume=True)
    a, b = (Prompts.load(adapted.prompts) for adapted in (whole, parts))
    assert torch.equal(a.tensors["mask_prompts"], b.tensors["mask_prompts"])
    assert a.fingerprint == b.fingerprint  # of the fine-tuned model, where there is one
    with pytest.raises(SegtuneError, match="already holds a finished run"):
        run(recipe, out=tmp_path / "parts", progress=False, resume=True)
    other = run(replace(recipe, seed=1), out=tmp_path / "other", progress=False)
    c = Prompts.load(other.prompts)
    assert not torch.equal(a.tensors["mask_prompts"], c.tensors["mask_prompts"])


def test_after_divergence_all_stages_start_again(clip_folder, tmp_path):
    """In the same folder and without --resume, also where an earlier stage had ended well."""
    stages = [{"mode": "ft"}, {"mode": "mpt", "warmup": 0}]
    values = {key: TINY[key] for key in TINY if key not in ("prompt_lr", "warmup")}
    made = {
        rate: make_recipe(
            {**values, "model": clip_folder, "stages": [{**s, "prompt_lr": rate} for s in stages]}
        )
        for rate in (1e30, 1e-2)
    }
    with pytest.raises(SegtuneError, match="lower the rate"):
        run(made[1e30], out=tmp_path / "run", progress=False)
    again = run(made[1e-2], out=tmp_path / "run", progress=False)
    plain = run(made[1e-2], out=tmp_path / "plain", progress=False)
    a, b = (Prompts.load(adapted.prompts) for adapted in (again, plain))
    assert torch.equal(a.tensors["mask_prompts"], b.tensors["mask_prompts"])


def test_scores_before_and_after(clip_folder, tmp_path):
    recipe = _recipe(
        clip_folder, "ft", "mpt", evaluate=DATA, evaluate_limit=2, evaluate_split="val"
    )
    adapted = run(recipe, out=tmp_path / "run", progress=False)
    scores = adapted.metrics["scores"]
    assert list(scores) == ["before", "1-ft", "2-mpt"]
    assert {"mIoU", "top-1", "macro", "top-1(seen)"} <= set(scores["before"])
    assert adapted.metrics == json.loads((tmp_path / "run/metrics.json").read_text())
    assert adapted.metrics["protocol"]["images"] == 2


def test_released_crops_are_learned_from(clip_folder, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(6):
        picture = np.full((32, 32, 3), (124, 116, 103), np.uint8)
        picture[4:20, 6:28] = rng.integers(0, 256, (16, 22, 3))
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
    rows = [f"{index}.png\t{word}\n" for index, word in enumerate(["plain", "dotted"] * 3)]
    (tmp_path / "crops.tsv").write_text("filepath\ttitle\n" + "".join(rows))
    recipe = _recipe(clip_folder, "mpt", data=None, pairs=str(tmp_path / "crops.tsv"))
    adapted = run(recipe, out=tmp_path / "run", progress=False)
    assert adapted.metrics["pairs"] == 6
    assert Prompts.load(adapted.prompts).vocabulary.names == ("dotted", "plain")


def test_what_each_stage_learns(clip_folder):
    counts = {}
    for mode in ("ft", "mpt", "joint"):
        clip = load_backbone(clip_folder, device="cpu")
        trainee = Trainee(clip, torch.zeros(1, 16), Stage(mode, depth=2), seed=0)
        learned = [p for p in trainee.parameters() if p.requires_grad]
        in_groups = [
            p for o in trainee.optimizers().values() for g in o.param_groups for p in g["params"]
        ]
        assert {id(p) for p in learned} == {id(p) for p in in_groups}
        assert len(in_groups) == len({id(p) for p in in_groups})
        counts[mode] = sum(p.numel() for p in learned)
        assert not any(p.requires_grad for p in clip.model.text_model.parameters())
        if mode != "mpt":
            decayed, others = trainee.optimizers()["encoder"].param_groups
            assert all(p.ndim >= 2 for p in decayed["params"])
            assert all(p.ndim < 2 for p in others["params"])
            assert (decayed["weight_decay"], others["weight_decay"]) == (0.2, 0.0)
        trainee.finish()
        assert not any(p.requires_grad for p in clip.parameters())
    vision = sum(p.numel() for p in clip.model.vision_model.parameters())
    vision += clip.model.visual_projection.weight.numel()
    assert counts == {"ft": vision + 1, "mpt": 1024 + 1, "joint": vision + 1024 + 1}


def test_the_logit_scale_stays_in_its_range(clip_folder):
    clip = load_backbone(clip_folder, device="cpu")
    trainee = Trainee(clip, torch.zeros(1, 16), Stage("ft"), seed=0)
    trainee.logit_scale.data.fill_(9.0)
    assert float(trainee.finish().model.logit_scale) == pytest.approx(np.log(100))


def test_published_presets():
    code, paper = (
        make_recipe({"data": "d", "stages": [{"mode": "mpt", "preset": p}]}).stages[0]
        for p in ("code", "paper")
    )
    assert (code.prompt_lr, code.batch, code.warmup, code.epochs) == (0.05, 128, 100, 5)
    assert (paper.prompt_lr, paper.batch) == (0.02, 256)
    assert (code.lr, code.weight_decay, code.depth) == (5e-6, 0.2, 3)


RECIPES = [file for kind in ("ft", "mpt") for file in Path("recipes/ovseg").glob(f"{kind}*.yaml")]


@pytest.mark.parametrize("file", sorted(RECIPES), ids=str)
def test_the_recipes_of_the_repository_are_read(file):
    recipe = read_recipe(file)
    assert recipe.stages
    assert make_recipe(KIND.values(recipe)) == recipe  # what a run writes starts it again


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs `pairs:`, `data:` or both"),
        ({"data": "d", "stages": []}, "needs `stages:`"),
        ({"data": "d", "stages": "ft"}, "expected a list such as"),
        ({"data": "d", "stages": [{"lr": 1.0}]}, "a stage needs `mode:`"),
        ({"data": "d", "stages": [{"mode": "sft"}]}, "expected ft or mpt or joint"),
        ({"data": "d", "stages": [{"mode": "ft", "preset": "x"}]}, "no preset 'x' of stages"),
        ({"data": "d", "speed": 3}, "'speed' is not a field"),
        ({"data": "d", "lr": -1.0}, "lr=-1.0; expected more than 0"),
        ({"data": "d", "batch": 0}, "batch=0; expected 1 or more"),
        ({"data": "d", "text_template": "a photo"}, "must contain {} once"),
    ],
)
def test_recipes_that_make_no_sense(settings, message):
    with pytest.raises(SegtuneError, match=message):
        make_recipe(settings)


def test_models_and_data_that_do_not_fit(clip_folder, tmp_path):
    with pytest.raises(SegtuneError, match="is a seem; pairs adapt a CLIP ViT"):
        run(_recipe("seem-tiny", "ft"), out=tmp_path / "run", progress=False)
    with pytest.raises(WeightsError, match=r"takes \(1 to 2 layers"):
        run(_recipe(clip_folder, "mpt", depth=3), out=tmp_path / "run", progress=False)
    with pytest.raises(SegtuneError, match="no pair is left to learn from"):
        run(_recipe(clip_folder, "ft", min_score=2.0), out=tmp_path / "run", progress=False)
