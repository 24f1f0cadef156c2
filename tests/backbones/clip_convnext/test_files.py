import json

import pytest
import torch
from safetensors.torch import save_file

from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.backbones.clip_convnext.files import (
    clip_convnext_from_official,
    load_clip_convnext,
    save_clip_convnext,
)
from segtune.backbones.clip_convnext.keys import config_from, from_open_clip, to_open_clip
from segtune.backbones.clip_convnext.random import TINY, random_clip_convnext
from segtune.backbones.hub import load_backbone
from segtune.errors import WeightsError
from tests.goldens import goldens


@pytest.fixture
def clip():
    return random_clip_convnext(seed=3)


def _equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.golden
def test_official_names_there_and_back():
    for golden in goldens("uniovseg_convnext_clip"):
        state, sizes = golden.part("state_dict.backbone.clip_model"), golden.config
        own = from_open_clip(state)
        back = to_open_clip(own)
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)
        config = config_from(own, text_heads=sizes["theads"])
        assert config.image.depths == tuple(sizes["depths"])
        assert config.image.channels == tuple(sizes["dims"])
        assert config.text.num_layers == sizes["tlayers"]
        assert config.text.context_length == sizes["context"]
        assert config.joint_width == sizes["embed_dim"]


def test_the_default_sizes_are_those_of_convnext_large():
    """543 tensors, 351.8 million numbers, of which 199.8 are the image tower's."""
    with torch.device("meta"):
        clip = random_clip_convnext(ClipConvNextConfig())
    tower = [*clip.image.parameters(), *clip.head.parameters()]
    assert len(list(clip.parameters())) == 543
    assert sum(p.numel() for p in clip.parameters()) / 1e6 == pytest.approx(351.8, abs=0.05)
    assert sum(p.numel() for p in tower) / 1e6 == pytest.approx(199.8, abs=0.05)


@pytest.mark.parametrize("prefix", ["", "text."])
@pytest.mark.parametrize("safe", [True, False])
def test_open_clip_export(clip, tmp_path, prefix, safe):
    state = to_open_clip(clip.state_dict())
    tower = ("token_", "positional_", "transformer.", "ln_final", "text_projection")
    state = {prefix * k.startswith(tower) + k: v.contiguous() for k, v in state.items()}
    if safe:
        save_file(state, tmp_path / "open_clip_model.safetensors")
    else:
        torch.save(state, tmp_path / "open_clip_pytorch_model.bin")
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"timm_model_name": "convnext_tiny", "timm_proj": "mlp"},
            "text_cfg": {"heads": 4, "layers": 2},
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    loaded = load_clip_convnext(tmp_path)
    assert _equal(loaded, clip)
    assert _equal(load_backbone(tmp_path, device="cpu"), clip)
    assert loaded.config == TINY
    assert loaded.normalisation.unit_mean == (0.5, 0.5, 0.5)
    tokens = torch.tensor([[62, 5, 63]])
    assert torch.equal(loaded.encode_text(tokens), clip.encode_text(tokens))
    with pytest.raises(WeightsError, match="no tokenizer files"):
        loaded.tokenize(["road"])


def test_own_folder(clip, tmp_path):
    clip.dense_size = 128
    loaded = load_clip_convnext(save_clip_convnext(clip, tmp_path / "model"))
    assert _equal(loaded, clip)
    assert (loaded.name, loaded.dense_size, loaded.config) == (clip.name, 128, clip.config)
    assert loaded.normalisation == clip.normalisation
    assert loaded.fingerprint == clip.fingerprint


def test_a_linear_head(tmp_path):
    from dataclasses import replace

    clip = random_clip_convnext(replace(TINY, head_hidden=None))
    state = to_open_clip(clip.state_dict())
    assert "visual.head.proj.weight" in state
    assert _equal(clip_convnext_from_official(state, text_heads=4), clip)
    assert _equal(load_clip_convnext(save_clip_convnext(clip, tmp_path)), clip)


def test_loading_is_strict_and_lists_the_keys(clip, tmp_path):
    state = to_open_clip(clip.state_dict())
    with pytest.raises(WeightsError, match=r"missing.*image\.stages\.2\.1\.norm\.bias"):
        clip_convnext_from_official(
            {k: v for k, v in state.items() if "stages.2.blocks.1.norm.bias" not in k}
        )
    with pytest.raises(WeightsError, match=r"unexpected surprise"):
        clip_convnext_from_official(state | {"surprise": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"nothing stands for text\.words\.weight"):
        clip_convnext_from_official({"visual.conv1.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_clip_convnext(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(WeightsError, match="'clip', not a CLIP with a ConvNeXt"):
        load_clip_convnext(tmp_path)
    with pytest.raises(WeightsError, match="expected image, text, joint_width"):
        ClipConvNextConfig.from_dict({"image": {}, "text": {"surprise": 1}})
