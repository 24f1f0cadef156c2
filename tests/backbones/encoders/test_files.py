"""Image encoders from the files of their authors and from folders of transformers."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    MaskFormerSwinConfig,
    ResNetForImageClassification,
    SwinForImageClassification,
)
from transformers.models.maskformer.modeling_maskformer_swin import MaskFormerSwinBackbone

from segtune.backbones.encoders.files import load_image_encoder
from segtune.backbones.encoders.keys import RESNET, SWIN
from segtune.backbones.encoders.resnet import ResNet, ResNetConfig
from segtune.backbones.encoders.swin import Swin, SwinConfig
from segtune.backbones.reading.key_tables import rename_keys, reversed_rules
from segtune.errors import WeightsError

SWIN_SIZES = SwinConfig(8, (1, 1, 2, 1), (1, 1, 2, 2), window=4)
RESNET_SIZES = ResNetConfig((1, 2, 1, 1), (8,), bottleneck=4, out=8, dilations=(1,))
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _filled(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(3)
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "var" in key else torch.randn_like(value))
    return model


def _official(model: Swin | ResNet) -> dict[str, torch.Tensor]:
    return rename_keys(
        model.state_dict(), reversed_rules(SWIN if isinstance(model, Swin) else RESNET)
    )


def test_the_official_file_of_a_swin_classifier(tmp_path):
    trained, fresh = _filled(Swin(SWIN_SIZES)), Swin(SWIN_SIZES)
    state = {k: v for k, v in _official(trained).items() if not k.startswith("norm")}
    state |= {"norm.weight": torch.ones(64), "norm.bias": torch.ones(64)}
    state |= {"head.weight": torch.ones(10, 64), "head.bias": torch.ones(10)}
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16)
    state["layers.2.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    torch.save({"model": state}, tmp_path / "swin.pth")
    kept = load_image_encoder(fresh, tmp_path / "swin.pth")
    assert len(kept) == 8
    assert all(name.startswith("output_norms.") for name in kept)
    for key, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value) != (key in kept), key
    assert fresh.output_norms[3].weight.eq(1).all()


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_resnet_in_the_layout_of_detectron2(tmp_path, prefix):
    trained, fresh = _filled(ResNet(RESNET_SIZES)), ResNet(RESNET_SIZES)
    state = {prefix + key: value for key, value in _official(trained).items()}
    assert f"{prefix}res3.1.conv2.norm.running_var" in state
    state["stem.fc.weight"] = torch.ones(10, 64)
    torch.save(state, tmp_path / "r.pth")
    assert load_image_encoder(fresh, tmp_path / "r.pth") == []
    for key, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


def test_a_swin_of_transformers(tmp_path):
    sizes = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}
    trained = _filled(
        SwinForImageClassification(AutoConfig.for_model("swin", **sizes, image_size=64))
    )
    trained.save_pretrained(tmp_path)
    fresh, older = Swin(SWIN_SIZES), Swin(SWIN_SIZES)
    assert len(load_image_encoder(fresh, tmp_path)) == 8
    (tmp_path / "old").mkdir()
    (tmp_path / "old/config.json").write_bytes((tmp_path / "config.json").read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "old/pytorch_model.bin")
    load_image_encoder(older, tmp_path / "old")
    assert torch.equal(older(IMAGES)[3], fresh(IMAGES)[3])
    stages = [f"stage{i}" for i in range(1, 5)]
    reference = MaskFormerSwinBackbone(MaskFormerSwinConfig(**sizes, out_features=stages)).eval()
    same = {
        f"model.{key.removeprefix('swin.')}": value
        for key, value in load_file(tmp_path / "model.safetensors").items()
        if not key.startswith("classifier")
    }
    missing = reference.load_state_dict(same, strict=False).missing_keys
    assert all("hidden_states_norms" in key or "position_index" in key for key in missing)
    with torch.no_grad():
        pairs = zip(fresh(IMAGES), reference(IMAGES).feature_maps, strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def test_a_resnet_of_transformers(tmp_path):
    sizes = {"depths": [1, 2, 1, 1], "embedding_size": 8, "hidden_sizes": [8, 16, 32, 64]}
    trained = _filled(ResNetForImageClassification(AutoConfig.for_model("resnet", **sizes))).eval()
    trained.save_pretrained(tmp_path)
    fresh = ResNet(ResNetConfig((1, 2, 1, 1), (8,), bottleneck=2, out=8, dilations=(1,)))
    assert load_image_encoder(fresh, tmp_path) == []
    with torch.no_grad():
        expected = trained.resnet(IMAGES, output_hidden_states=True).hidden_states[1:]
        for ours, theirs in zip(fresh(IMAGES), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_files_that_do_not_fit(tmp_path):
    save_file(_official(_filled(ResNet(RESNET_SIZES))), tmp_path / "r.safetensors")
    with pytest.raises(WeightsError, match="is a ResNet, but the encoder is a Swin"):
        load_image_encoder(Swin(SWIN_SIZES), tmp_path / "r.safetensors")
    state = _official(Swin(SWIN_SIZES))
    del state["layers.1.blocks.0.mlp.fc1.weight"]
    save_file(state, tmp_path / "s.safetensors")
    with pytest.raises(WeightsError, match=r"missing stages\.1\.0\.expand\.weight"):
        load_image_encoder(Swin(SWIN_SIZES), tmp_path / "s.safetensors")
    other = Swin(replace(SWIN_SIZES, window=3))
    save_file(_official(other), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="wrong shape"):
        load_image_encoder(Swin(SWIN_SIZES), tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no config\.json with model\.safetensors"):
        load_image_encoder(Swin(SWIN_SIZES), tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "vit"}')
    save_file(state, tmp_path / "empty" / "model.safetensors")
    with pytest.raises(WeightsError, match="'vit' model; an image encoder is a swin or resnet"):
        load_image_encoder(Swin(SWIN_SIZES), tmp_path / "empty")
