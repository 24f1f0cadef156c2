"""The layout of transformers: the same answers there and here, both ways."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    ResNetConfig,
    SwinConfig,
)

from segtune.backbones.mask2former.files import load_mask2former
from segtune.backbones.mask2former.hf import save_for_hf
from segtune.backbones.mask2former.random import TINY, random_mask2former
from segtune.backbones.reading.hf_files import read_pretrained
from segtune.errors import WeightsError

STAGES = [f"stage{i}" for i in range(1, 5)]
SIZE = (2, 3, 96, 128)
"""Of the images: the coarsest map is 3 x 4, larger than the windows."""


def of_transformers(kind: str, **changes) -> Mask2FormerForUniversalSegmentation:
    """A tiny random model, its points and its statistics away from where they start."""
    if kind == "swin":
        encoder = SwinConfig(
            embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2], window_size=2, mlp_ratio=2.0
        )
    else:
        encoder = ResNetConfig(
            embedding_size=8, hidden_sizes=[16, 32, 64, 128], depths=[1, 2, 1, 1]
        )
    encoder.out_features = STAGES
    sizes = {
        "feature_size": 32,
        "mask_feature_size": 16,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 24,
        "encoder_layers": 2,
        "decoder_layers": 4,
        "num_attention_heads": 4,
        "dim_feedforward": 40,
        "num_queries": 5,
        "num_labels": 6,
    }
    torch.manual_seed(0)
    config = Mask2FormerConfig(backbone_config=encoder, **sizes | changes)
    model = Mask2FormerForUniversalSegmentation(config).eval()
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if name.endswith("running_var"):
            weight.data.uniform_(0.5, 2)
        elif weight.is_floating_point() and name != "criterion.empty_weight":
            weight.data += 0.1 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("swin", {}),
        ("resnet", {}),
        ("swin", {"hidden_dim": 48}),  # so that maps are projected
        ("swin", {"enforce_input_projection": True}),
    ],
)
def test_answers_of_transformers_and_back(kind, changes, tmp_path):
    theirs = of_transformers(kind, **changes)
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]})
    )
    ours = load_mask2former(tmp_path / "theirs")
    assert ours.config.projects_maps == bool(changes)
    pixels = torch.rand(SIZE) * 255
    normalised = ours.normalisation.apply(pixels)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    torch.testing.assert_close(normalised, (pixels / 255 - mean) / std)
    with torch.no_grad():
        expected = theirs(pixel_values=normalised)
        found = ours.answer(pixels)
    torch.testing.assert_close(
        found.class_logits, expected.class_queries_logits, atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        found.mask_logits, expected.masks_queries_logits, atol=1e-3, rtol=1e-3
    )
    save_for_hf(ours, tmp_path / "back")
    back = read_pretrained(tmp_path / "back", Mask2FormerForUniversalSegmentation)
    before = theirs.state_dict()
    assert back.state_dict().keys() == before.keys()
    for name, tensor in back.state_dict().items():
        if not name.startswith("model.pixel_level_module.encoder.swin.layernorm."):
            assert torch.equal(tensor, before[name]), name
    with torch.no_grad():
        again = back(pixel_values=normalised)
    assert torch.equal(again.masks_queries_logits, expected.masks_queries_logits)
    read = load_mask2former(tmp_path / "back")
    assert read.config == ours.config
    assert read.normalisation == ours.normalisation
    assert read.fingerprint == ours.fingerprint


@pytest.mark.parametrize(
    "changes", [{"pre_norm": True}, {"activation_function": "gelu"}, {"common_stride": 8}]
)
def test_forms_that_were_never_published_are_refused(changes, tmp_path):
    of_transformers("swin").save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | changes))
    with pytest.raises(WeightsError, match=f"of another form: {next(iter(changes))}="):
        load_mask2former(tmp_path)


def test_sizes_that_transformers_has_not_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="with 8 groups and 2 points; only 32 and 4"):
        save_for_hf(random_mask2former(), tmp_path)
    deeplab = replace(TINY.image_encoder, stem=(4, 4, 8))
    config = replace(TINY, image_encoder=deeplab, groups=32, num_points=4)
    with pytest.raises(WeightsError, match="no ResNet with this stem"):
        save_for_hf(random_mask2former(config), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_listed(tmp_path):
    from safetensors.torch import load_file, save_file

    of_transformers("swin").save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    key = "model.transformer_module.decoder.layers.1.self_attn.k_proj.weight"
    save_file({k: v for k, v in state.items() if k != key}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"layers\.1\.self_attn\.k_proj\.weight are missing"):
        load_mask2former(tmp_path)
    save_file(state | {"model.other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"no part of a Mask2Former: model\.other"):
        load_mask2former(tmp_path)
