"""Training of the bundled MaskFormer at the smallest sizes, and what its scores mean."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segtune.backbones.base import Proposals
from segtune.backbones.maskformer.files import load_maskformer
from segtune.backbones.maskformer.model import MaskFormer
from segtune.data.formats import open_dataset
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.mask_targets import targets_from_semantic
from segtune.train.checkpoints import read_state
from segtune.train.optimizers import split_parameters
from segtune.trainers.bundled.scenes.batch import Batches
from segtune.trainers.bundled.scenes.evaluate_maskformer import best_overlaps, evaluate
from segtune.trainers.bundled.scenes.maskformer_recipe import (
    MaskFormerRecipe,
    make_recipe,
    read_recipe,
)
from segtune.trainers.bundled.scenes.train_maskformer import (
    MaskFormerTrainee,
    export_run,
    make_trainee,
    run,
    train_recipe,
)

RECIPE = make_recipe(
    {
        "name": "maskformer-test",
        "data": "synthetic:base?size=64&length=6&stuff_regions=1",
        "embed_dim": 8,
        "depths": (1, 1, 2, 1),
        "num_heads": (1, 1, 2, 2),
        "fpn_width": 32,
        "mask_dim": 16,
        "hidden": 32,
        "feedforward": 32,
        "decoder_layers": 2,
        "num_queries": 6,
        "class_hidden": 24,
        "short_side": 64,
        "scale": (0.8, 1.2),
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
    out = tmp_path_factory.mktemp("maskformer") / "through"
    assert run(RECIPE, out=out, progress=False) == out / "model"
    return out


def fresh(recipe: MaskFormerRecipe = RECIPE) -> tuple[MaskFormerTrainee, Batches]:
    dataset = open_dataset(recipe.data, split=recipe.split)
    trainee, class_ids = make_trainee(recipe, dataset)
    return trainee, Batches(dataset, recipe, class_ids)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_state(out / "checkpoint.pt")["parts"]["model"]


def same_weights(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return all(torch.equal(first[name], second[name]) for name in first)


# -- the run ------------------------------------------------------------------------------------


def test_a_run_leaves_model_log_and_recipe(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    parts = {"class", "mask", "dice", "pixel"}
    assert set(rows[0]) == parts | {"step", "lr", "loss", "seconds"}
    assert rows[0]["loss"] == pytest.approx(sum(rows[0][part] for part in parts), abs=1e-3)
    assert read_recipe(finished / "recipe.yaml") == RECIPE


def test_the_exported_model_is_the_trained_one(finished: Path) -> None:
    model = load_maskformer(finished / "model")
    assert (model.name, model.config.joint_width) == ("maskformer-test", 128)
    stored = load_file(finished / "model" / "model.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in stored.values())
    assert "clip_adapter.non_object_embedding" in stored
    for key, value in weights(finished).items():
        if key.startswith("model."):
            half = model.state_dict()[key.removeprefix("model.")]
            torch.testing.assert_close(half, value, atol=1e-4, rtol=1e-3)


def test_interrupted_and_resumed_equals_uninterrupted(finished: Path, tmp_path: Path) -> None:
    for stop in (1, 2):
        run(RECIPE, out=tmp_path, stop_after=stop, resume=stop > 1, progress=False)
        torch.rand(7)
    run(RECIPE, out=tmp_path, resume=True, progress=False)
    assert same_weights(finished, tmp_path)
    with pytest.raises(SegtuneError, match="other settings for lr;"):
        run(replace(RECIPE, lr=1.0), out=finished, resume=True)


def test_a_recipe_file_with_changes(finished: Path, tmp_path: Path) -> None:
    """What a run writes starts it again; changes are those of --set."""
    out, path = tmp_path / "out", finished / "recipe.yaml"
    assert train_recipe(path, {"seed": 4}, out=out).wrote == f"wrote {out / 'model'}"
    assert read_recipe(out / "recipe.yaml") == replace(RECIPE, seed=4)
    assert not same_weights(finished, out)
    export_run(finished, tmp_path / "again")
    first, second = (
        load_file(p / "model.safetensors") for p in (finished / "model", tmp_path / "again")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_second_part_starts_where_the_first_ended(finished: Path) -> None:
    first = load_maskformer(finished / "model")
    trainee, _ = fresh(replace(RECIPE, init=str(finished / "model"), seed=1))
    assert trainee.model.fingerprint == first.fingerprint
    with pytest.raises(WeightsError, match="wrong shape"):
        fresh(replace(RECIPE, init=str(finished / "model"), num_queries=7))


# -- what is trained ----------------------------------------------------------------------------


def test_every_parameter_learns_and_the_words_do_not(finished: Path) -> None:
    trainee, batches = fresh()
    torch.stack(list(trainee.losses(batches(0)).values())).sum().backward()
    for name, parameter in trainee.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    after = weights(finished)
    assert "words" not in after
    before = {name: value for name, value in fresh()[0].state_dict().items() if name in after}
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert not still


def test_unseen_classes_are_neither_words_nor_targets() -> None:
    recipe = replace(RECIPE, data="synthetic:base?size=64&length=40", split="val", batch=8)
    dataset = open_dataset(recipe.data, split="val")
    trainee, class_ids = make_trainee(recipe, dataset)
    unseen = set(dataset.vocabulary.ids_in("unseen"))
    assert unseen
    assert not unseen & set(class_ids)
    assert len(trainee.words) == len(class_ids)
    there = {int(i) for n in range(40) for i in set(dataset[n].semantic.flatten().tolist())}
    assert unseen & there, (
        "the scenes show unseen classes, so that leaving them out means something"
    )
    batch = Batches(dataset, recipe, class_ids)(0)
    assert int(batch.labels.max()) < len(class_ids)
    for labels, targets in zip(batch.labels, batch.targets, strict=True):
        assert set(targets.class_ids.tolist()) == set(labels[labels >= 0].tolist())


def test_muon_takes_the_matrices_of_the_layers() -> None:
    trainee, _ = fresh()
    names = {id(p): name for name, p in trainee.named_parameters()}
    matrices, others = (
        {names[id(p)] for p in part} for part in split_parameters(trainee, trainee.tables)
    )
    assert matrices | others == set(names.values())
    assert {"pixel_head.weight", "model.text_head.0.weight"} <= matrices
    assert {"model.query_decoder.query_position", "model.no_object"} <= others
    assert not any("bias_table" in name for name in matrices)


def test_the_losses_sum_over_all_layers() -> None:
    trainee, batches = fresh()
    batch = batches(0)
    both = trainee.losses(batch)
    trainee.model.query_decoder.layers = trainee.model.query_decoder.layers[:1]
    first = trainee.losses(batch)
    assert both["class"] > first["class"] > 0
    trainee.recipe = replace(RECIPE, dense_weight=0.0)
    assert set(trainee.losses(batch)) == {"class", "mask", "dice"}


def test_cells_teach_the_map_that_the_queries_read() -> None:
    trainee, batches = fresh(replace(RECIPE, dense_weight=0.0, coarse_weight=2.0))
    trainee.losses(batches(0))["cell"].backward()
    learned = {name for name, p in trainee.named_parameters() if p.grad is not None}
    assert {"cell_head.weight", "model.query_decoder.input.weight"} <= learned
    assert any(name.startswith("model.image_encoder.stages.3") for name in learned)
    assert not any(name.startswith(("model.pixel_decoder", "model.mask_head")) for name in learned)


# -- scores -------------------------------------------------------------------------------------


def test_a_perfect_model_scores_one_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers with the regions of the truth; then with their complements under wrong names."""
    dataset = SyntheticDataset("base", "val", size=(192, 192), length=2)
    words = torch.eye(len(dataset.vocabulary))
    model = MaskFormer(fresh()[0].model.config)
    model.no_object = torch.nn.Parameter(-torch.ones(len(words)))
    order = iter([0, 1, 0, 1])
    is_right = True

    def propose(_: torch.Tensor) -> Proposals:
        labels = torch.from_numpy(dataset[next(order)].semantic.astype("int64"))
        regions = targets_from_semantic(labels[None])[0]
        names = regions.class_ids if is_right else (regions.class_ids + 1) % len(words)
        masks = regions.masks if is_right else ~regions.masks
        return Proposals(masks[None].float() * 40 - 20, words[names][None])

    monkeypatch.setattr(model, "propose", propose)
    scores = evaluate(model, words, num_scenes=2)
    for name in ("mIoU", "pAcc", "mask recall", "best IoU"):
        assert scores[name] == pytest.approx(1), name
    is_right = False
    scores = evaluate(model, words, num_scenes=2)
    assert scores["mIoU"] < 0.2
    assert scores["best IoU"] < 0.9


def test_best_overlaps_of_nothing() -> None:
    empty = torch.zeros(2, 3, 3, dtype=torch.bool)
    assert best_overlaps(empty, ~empty[:1]).tolist() == [0]
    assert best_overlaps(empty, empty[:0]).shape == (0,)
