"""Dropout of MaskFormer's query decoder: where it acts, and that frozen models never see it."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.decoders.layers import FeedForward, MultiHeadAttention
from segtune.backbones.maskformer.files import load_maskformer, save_maskformer
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from tests.backbones.maskformer import test_model as test_maskformer

PLAIN = test_maskformer.CONFIG
CONFIG = replace(PLAIN, dropout=0.3, image_encoder=replace(PLAIN.image_encoder, drop_path=0.4))


def _answers(model: MaskFormer) -> torch.Tensor:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255
    return model.propose(pixels).mask_logits


def test_frozen_and_eval_models_answer_as_without():
    torch.manual_seed(0)
    plain = MaskFormer(PLAIN)
    model = MaskFormer(CONFIG)
    model.load_state_dict(plain.state_dict())
    expected = _answers(plain)
    assert torch.equal(_answers(model.train()), expected)  # frozen: there is no training mode
    assert not any(module.training for module in model.modules())
    model.requires_grad_(True)
    plain.requires_grad_(True)
    expected = _answers(plain)  # the last bits of attention depend on whether weights are learned
    assert not torch.equal(_answers(model.train()), expected)
    assert torch.equal(_answers(model.eval()), expected)
    assert torch.equal(_answers(plain.train()), expected)


def test_the_folder_remembers_it_and_older_folders_have_none(tmp_path):
    save_maskformer(MaskFormer(CONFIG), tmp_path / "new")
    assert load_maskformer(tmp_path / "new").config == CONFIG
    values = PLAIN.to_dict()
    del values["dropout"], values["image_encoder"]["drop_path"]
    assert MaskFormerConfig.from_dict(values) == PLAIN


def test_branches_and_hidden_units_are_dropped_and_scaled():
    """With identity layers, a unit of the branch is 0 or 1 / (1 - p)^2 times what it was."""
    layer = FeedForward(64, 64, dropout=0.5).train()
    with torch.no_grad():
        for linear in (layer.expand, layer.shrink):
            linear.weight.copy_(torch.eye(64))
            linear.bias.zero_()
    layer.norm = torch.nn.Identity()
    x = torch.ones(400, 64)
    torch.manual_seed(0)
    branch = layer(x) - x
    assert branch.unique().tolist() == [0.0, 4.0]
    assert branch.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(layer.eval()(x), x + x)


def test_attention_weights_are_dropped():
    """One key whose value is 1: its weight of 1 becomes 0 or 2, then so does the whole branch."""
    layer = MultiHeadAttention(8, 2, dropout=0.5).train()
    with torch.no_grad():
        layer.project_out.weight.copy_(torch.eye(8))
        layer.project_out.bias.zero_()
    layer.norm = torch.nn.Identity()
    x = torch.zeros(300, 4, 8)
    keys, values = torch.zeros(300, 2, 1, 4), torch.ones(300, 2, 1, 4)
    torch.manual_seed(0)
    found = layer(x, x, keys, values, None)
    assert found.unique().tolist() == [0.0, 4.0]
    assert found.mean().item() == pytest.approx(1, abs=0.1)
    by_head = found.unflatten(-1, (2, 4))  # a dropped weight silences all four units of its head
    silent = (by_head == 0).all(-1).float().mean().item()
    assert silent == pytest.approx(0.5 + 0.5 * 0.5**4, abs=0.06)
    assert torch.equal(layer.eval()(x, x, keys, values, None), torch.ones_like(x))


def test_nothing_is_drawn_without_dropout():
    layer = FeedForward(8, 8).train()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    x = torch.ones(2, 8)
    assert torch.equal(layer(x), layer.norm(x + layer.shrink(F.relu(layer.expand(x)))))
    assert torch.equal(torch.rand(1), expected)
