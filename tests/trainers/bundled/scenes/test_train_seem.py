"""Training of the bundled SEEM at the smallest sizes: what it learns, leaves, resumes, refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segtune.backbones.hub import load_backbone
from segtune.backbones.seem.model import Seem
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.predict.segmenter import load
from segtune.train.checkpoints import read_state
from segtune.train.optimizers import split_parameters
from segtune.trainers.bundled.scenes.batch import Batches
from segtune.trainers.bundled.scenes.seem_recipe import SeemRecipe, make_recipe, read_recipe
from segtune.trainers.bundled.scenes.train_seem import (
    SeemTrainee,
    export_run,
    make_trainee,
    run,
    train_recipe,
)

RECIPE = make_recipe(
    {
        "name": "seem-test",
        "data": "synthetic:base?size=64&length=6&stuff_regions=1",
        "embed_dim": 8,
        "depths": (1, 1, 1, 1),
        "hidden": 32,
        "num_heads": 4,
        "feedforward": 64,
        "decoder_layers": 3,
        "num_queries": 6,
        "groups": 8,
        "short_side": 64,
        "crop": 64,
        "batch": 2,
        "steps": 3,
        "warmup": 1,
        "pixels_per_image": 20,
        "save_every": 1,
    }
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("seem") / "through"
    assert run(RECIPE, out=out, progress=False) == out / "model"
    return out


def fresh(recipe: SeemRecipe = RECIPE) -> tuple[SeemTrainee, Batches]:
    dataset = open_dataset(recipe.data, split=recipe.split)
    trainee, class_ids = make_trainee(recipe, dataset)
    return trainee, Batches(dataset, recipe, class_ids)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def log_of(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def same_weights(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return all(torch.equal(first[name], second[name]) for name in first)


# -- the run ------------------------------------------------------------------------------------


def test_a_run_leaves_model_log_and_recipe(finished: Path) -> None:
    rows = log_of(finished)
    assert [row["step"] for row in rows] == [1, 2, 3]
    parts = {"class", "mask", "dice", "pixel", "prompt_mask", "prompt_choice"}
    assert set(rows[0]) == parts | {"step", "lr", "loss", "_logit_scale"}
    assert rows[0]["loss"] == pytest.approx(sum(rows[0][part] for part in parts), abs=1e-3)
    assert read_recipe(finished / "recipe.yaml") == RECIPE


def test_the_exported_model_is_loaded_by_its_folder_and_segments(finished: Path) -> None:
    seem = load_backbone(finished / "model", device="cpu")
    assert isinstance(seem, Seem)
    assert (seem.name, seem.dense_size) == ("seem-test", RECIPE.dense_size)
    stored = load_file(finished / "model" / "model.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in stored.values())
    for key, value in weights(finished).items():
        if key.startswith("seem."):
            half = seem.state_dict()[key.removeprefix("seem.")]
            torch.testing.assert_close(half, value, atol=1e-4, rtol=1e-3)
    model = load(finished / "model", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    for task in ("semantic", "instance", "panoptic"):
        result = model.segment(image, "red star, green grass", task=task, min_score=0.01)
        assert result.size == (50, 70)
    memory = seem.decoder.prepare(*seem.features(torch.zeros(1, 3, 64, 64)))
    assert seem.segment_points(memory, torch.full((1, 1, 1, 2), 0.5)).mask_logits.isfinite().all()


def test_interrupted_and_resumed_equals_uninterrupted(finished: Path, tmp_path: Path) -> None:
    for stop in (1, 2):
        run(RECIPE, out=tmp_path, stop_after=stop, resume=stop > 1, progress=False)
        torch.rand(7)
    run(RECIPE, out=tmp_path, resume=True, progress=False)
    assert same_weights(finished, tmp_path)
    assert log_of(finished) == log_of(tmp_path)
    models = [(out / "model" / "model.safetensors").read_bytes() for out in (finished, tmp_path)]
    assert models[0] == models[1]


def test_weights_to_start_from_must_have_the_sizes_of_the_recipe(finished: Path) -> None:
    start = str(finished / "model")
    trainee, _ = fresh(replace(RECIPE, init=start, seed=1))
    again = load_backbone(start, device="cpu")
    assert torch.equal(trainee.seem.decoder.query_content, again.decoder.query_content)
    with pytest.raises(SegtuneError, match="does not fit the Seem it is loaded into"):
        fresh(replace(RECIPE, init=start, num_queries=7))


def test_another_recipe_is_refused(finished: Path) -> None:
    with pytest.raises(SegtuneError, match="other settings for lr;"):
        run(replace(RECIPE, lr=1.0), out=finished, resume=True)
    with pytest.raises(SegtuneError, match="--resume"):
        run(RECIPE, out=finished)


def test_a_running_job_can_be_exported(finished: Path, tmp_path: Path) -> None:
    export_run(finished, tmp_path / "interim")
    exported = load_file(tmp_path / "interim" / "model.safetensors")
    final = load_file(finished / "model" / "model.safetensors")
    assert set(exported) == set(final)
    assert all(torch.equal(exported[name], final[name]) for name in final)


def test_a_recipe_file_with_changes(finished: Path, tmp_path: Path) -> None:
    """What a run writes starts it again; changes are those of --set."""
    out, path = tmp_path / "out", finished / "recipe.yaml"
    assert train_recipe(path, {"seed": 4}, out=out).wrote == f"wrote {out / 'model'}"
    assert read_recipe(out / "recipe.yaml") == replace(RECIPE, seed=4)
    assert not same_weights(finished, out)


# -- what is trained ----------------------------------------------------------------------------


def test_everything_learns_but_the_text_tower(finished: Path) -> None:
    trainee, batches = fresh()
    before = {name: value.clone() for name, value in trainee.state_dict().items()}
    torch.stack(list(trainee.losses(batches(0)).values())).sum().backward()
    unused = {"seem.points.slot_content", "seem.points.slot_position"}
    for name, parameter in trainee.named_parameters():
        is_text = name.startswith("seem.text.") and "logit_scale" not in name
        assert parameter.requires_grad != is_text, name
        if not is_text and name not in unused and "signs" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    after = weights(finished)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any("text.transformer" in name or "text.projection" in name for name in moved)
    assert {"pixel_head.weight", "seem.decoder.query_content", "seem.text.logit_scale"} <= moved
    assert any(name.startswith("seem.image_encoder") for name in moved)
    assert any(name.startswith("seem.pixel_decoder") for name in moved)


def test_words_are_read_as_by_the_clip_they_come_from() -> None:
    trainee, _ = fresh()
    clip = load_backbone(RECIPE.text, device="cpu")
    sentences = ["a photo of a red star.", "snow"]
    ours = trainee.seem.encode_text(trainee.seem.tokenize(sentences))
    theirs = torch.nn.functional.normalize(clip.encode_text(clip.tokenize(sentences)), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)  # another epsilon in LayerNorm


def test_unseen_classes_are_not_among_the_words() -> None:
    dataset = open_dataset(RECIPE.data, split="train")
    trainee, class_ids = make_trainee(RECIPE, dataset)
    unseen = set(dataset.vocabulary.ids_in("unseen"))
    assert unseen
    assert not unseen & set(class_ids)
    assert len(trainee.text) == len(class_ids) + 1
    torch.testing.assert_close(trainee.text.norm(dim=-1), torch.ones(len(trainee.text)))


def test_muon_takes_the_matrices_of_the_layers() -> None:
    trainee, _ = fresh()
    names = {id(p): name for name, p in trainee.named_parameters()}
    matrices, others = (
        {names[id(p)] for p in part} for part in split_parameters(trainee, trainee.tables)
    )
    assert not matrices & others
    learned = {name for name, p in trainee.named_parameters() if p.requires_grad}
    assert matrices | others == learned
    assert {"pixel_head.weight", "seem.decoder.class_projection"} <= matrices
    tables = {"query_content", "query_position", "level_embeds"}
    assert {f"seem.decoder.{table}" for table in tables} <= others


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"dense_weight": 0.0}, {"pixel"}),
        ({"prompt_weight": 0.0}, {"prompt_mask", "prompt_choice"}),
    ],
)
def test_a_weight_of_zero_leaves_a_loss_out(settings: dict[str, float], missing: set[str]) -> None:
    trainee, batches = fresh()
    every = set(trainee.losses(batches(0)))
    trainee.recipe = replace(RECIPE, **settings)  # type: ignore[arg-type]
    assert every - set(trainee.losses(batches(0))) == missing


def test_a_batch_without_labels_has_finite_losses() -> None:
    trainee, batches = fresh()
    batch = batches(0)
    nothing = [replace(t, class_ids=t.class_ids[:0], masks=t.masks[:0]) for t in batch.targets]
    prompts = [replace(p, masks=torch.zeros_like(p.masks)) for p in batch.prompts]
    batch = replace(
        batch, labels=torch.full_like(batch.labels, -1), targets=nothing, prompts=prompts
    )
    losses = trainee.losses(batch)
    torch.stack([v for k, v in losses.items() if k[0] != "_"]).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert losses["pixel"].item() == losses["mask"].item() == losses["prompt_mask"].item() == 0
