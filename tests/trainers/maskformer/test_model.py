"""What is learned at which rate, the loss, and parts of a batch that add up to it."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.maskformer.model import MaskFormer
from segtune.ops.mask_targets import targets_from_semantic
from segtune.ops.set_loss import MASKFORMER, SetPrediction, set_loss
from segtune.trainers.maskformer.batches import Batch, Batches
from segtune.trainers.maskformer.model import Part, Trainee, num_classes, parameter_groups
from segtune.trainers.maskformer.recipe import ENCODERS, ProposalRecipe
from tests.trainers.maskformer.conftest import Scenes

SEEN = [0, 1, 2, 3]


def _trainee(recipe: ProposalRecipe) -> Trainee:
    torch.manual_seed(recipe.seed)
    words = F.normalize(torch.randn(4, 16), dim=-1)
    return Trainee(MaskFormer(recipe.model_config(16)), words, recipe)


def _batch(recipe: ProposalRecipe, step: int = 0) -> Batch:
    return Batches(Scenes(), recipe, SEEN)(step)


@pytest.fixture
def still(recipe) -> ProposalRecipe:
    """Without anything random in the forward pass."""
    return replace(recipe, dropout=0.0, drop_path=0.0, batch=4)


def _groups(trainee: Trainee) -> dict[tuple[float, float], set[str]]:
    names = {id(p): name for name, p in trainee.model.named_parameters()}
    return {
        (group["lr"], group["weight_decay"]): {names[id(p)] for p in group["params"]}
        for group in parameter_groups(trainee.model, trainee.recipe)
    }


def test_who_learns_at_which_rate_and_with_which_decay(recipe):
    trainee = _trainee(replace(recipe, lr=1e-3, encoder_lr=0.1, weight_decay=0.05))
    groups = _groups(trainee)
    assert set(groups) == {(1e-4, 0.05), (1e-4, 0.0), (1e-3, 0.05), (1e-3, 0.0)}
    encoder, encoder_still = groups[1e-4, 0.05], groups[1e-4, 0.0]
    rest, rest_still = groups[1e-3, 0.05], groups[1e-3, 0.0]
    everything = {name for name, _ in trainee.model.named_parameters()}
    assert set.union(*groups.values()) == everything
    assert sum(map(len, groups.values())) == len(everything)
    of_encoder = {name for name in everything if name.startswith("image_encoder.")}
    assert encoder | encoder_still == of_encoder
    block = "image_encoder.stages.0.0."
    for name in ("attention.bias_table", "norm1.weight", "norm1.bias", "norm2.weight"):
        assert block + name in encoder_still
    assert "image_encoder.output_norms.3.weight" in encoder_still
    assert "image_encoder.merges.1.norm.bias" in encoder_still
    for name in ("attention.qkv.weight", "attention.qkv.bias", "expand.bias"):
        assert block + name in encoder
    assert {"image_encoder.patches.weight", "image_encoder.merges.0.reduce.weight"} <= encoder
    layer = "query_decoder.layers.1."
    assert "query_decoder.query_position" in rest_still
    assert {layer + "cross.norm.weight", layer + "feedforward.norm.bias"} <= rest_still
    group_norms = {name for name in rest_still if name.startswith("pixel_decoder.")}
    assert len(group_norms) == 2 * 7  # a GroupNorm after four output and three lateral layers
    assert {layer + "cross.qkv.weight", layer + "cross.qkv.bias", "no_object"} <= rest
    assert {"mask_head.0.weight", "text_head.2.bias", "pixel_decoder.mask_features.bias"} <= rest
    assert all(name.count("norm") or name.endswith("position") for name in rest_still)


@pytest.mark.parametrize(
    ("freeze_at", "parts"), [(0, ()), (1, ("stem",)), (2, ("stem", "stages.0"))]
)
def test_the_first_parts_of_a_resnet_stay(recipe, monkeypatch, freeze_at, parts):
    small = replace(ENCODERS["r50c"], depths=(1, 1, 1, 1), bottleneck=4, out=8, dilations=(1,))
    monkeypatch.setitem(ENCODERS, "r50c", small)
    trainee = _trainee(replace(recipe, encoder="r50c", freeze_at=freeze_at))
    frozen = {n for n, p in trainee.model.named_parameters() if not p.requires_grad}
    encoder = [n for n, _ in trainee.model.named_parameters() if n.startswith("image_encoder.")]
    wanted = tuple(f"image_encoder.{part}." for part in parts)
    assert frozen == {name for name in encoder if wanted and name.startswith(wanted)}
    learned = set.union(*_groups(trainee).values())
    assert not frozen & learned


def test_it_is_in_training_mode(recipe):
    trainee = _trainee(replace(recipe, drop_path=0.5, dropout=0.5))
    assert all(module.training for module in trainee.modules())
    first, second = (trainee.losses(trainee.parts(_batch(recipe))[0]) for _ in range(2))
    assert first["mask"] != second["mask"]


def test_the_loss_is_the_official_one_of_every_layer(still):
    """Against `set_loss` layer by layer, each as if it were the last; masks as large as views."""
    trainee, batch = _trainee(still), _batch(still)
    found = trainee.losses(trainee.parts(batch)[0])
    model = trainee.model
    targets = targets_from_semantic(batch.labels)
    layers = model.decode(*model.features(batch.pixels), every_layer=True)
    assert len(layers) == 2
    expected = dict.fromkeys(("class", "mask", "dice"), 0.0)
    for layer in layers:
        class_logits = model.class_logits(layer.query_embeds, trainee.words)
        head = SetPrediction(class_logits, layer.mask_logits)
        for kind in expected:
            expected[kind] += set_loss([head], targets, MASKFORMER)[f"loss_{kind}"].item()
    assert {kind: loss.item() for kind, loss in found.items()} == pytest.approx(expected, rel=1e-5)
    dense = _trainee(replace(still, dense_loss=True))
    assert dense.losses(dense.parts(batch)[0])["mask"].item() != found["mask"].item()


@pytest.mark.parametrize("queries", [6, 2])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_add_up_to_the_batch(still, queries, parts):
    """Losses and gradients, also where an image has more masks than there are queries, or none."""
    still = replace(still, num_queries=queries)
    batch = _batch(still, step=1)
    labels = batch.labels.clone()
    labels[3] = -1
    labels[0, :8, :8], labels[0, 8:16, :8], labels[0, 16:24, :8] = 1, 2, 3
    batch = Batch(batch.pixels, labels)
    whole, cut = _trainee(still), _trainee(replace(still, accumulate=parts))
    [part] = whole.parts(batch)
    expected = whole.losses(part)
    sum(expected.values()).backward()
    found = dict.fromkeys(expected, 0.0)
    pieces = cut.parts(batch)
    assert len(pieces) == parts
    for part in pieces:
        losses = cut.losses(part)
        sum(losses.values()).backward()
        for kind, loss in losses.items():
            found[kind] += loss.item()
    assert found == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-5)
    a, b = (torch.cat([p.grad.flatten() for p in t.model.parameters()]) for t in (whole, cut))
    torch.testing.assert_close(b, a, atol=1e-5 * a.abs().max().item(), rtol=1e-3)
    naive = [cut.losses(Part(part.batch)) for part in pieces]
    mean = sum(losses["class"].item() for losses in naive) / parts
    assert mean != pytest.approx(expected["class"].item(), rel=1e-3)


def test_a_batch_without_any_label(still):
    trainee = _trainee(replace(still, accumulate=2))
    batch = _batch(still)
    parts = trainee.parts(Batch(batch.pixels, torch.full_like(batch.labels, -1)))
    assert [(p.class_share, p.mask_share) for p in parts] == [(0.5, 1.0)] * 2
    losses = trainee.losses(parts[0])
    assert (losses["mask"].item(), losses["dice"].item()) == (0, 0)
    assert losses["class"].isfinite()
    assert num_classes(torch.tensor([[-1]])) == 0


def test_half_precision_in_the_network_only(still):
    """The loss itself is float32, and close to that of a float32 network."""
    batch = _batch(still)
    exact, half = _trainee(still), _trainee(replace(still, precision="bf16"))
    a, b = (t.losses(t.parts(batch)[0]) for t in (exact, half))
    assert all(loss.dtype == torch.float32 for loss in b.values())
    for kind in a:
        assert a[kind].item() != b[kind].item()
        assert b[kind].item() == pytest.approx(a[kind].item(), rel=0.05)
    sum(b.values()).backward()
    assert all(p.grad.dtype == torch.float32 for p in half.model.parameters())
