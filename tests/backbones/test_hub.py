"""Loading CLIP from every layout: Hugging Face folders, OpenAI files, OpenCLIP exports."""

import json

import pytest
import torch
from safetensors.torch import save_file

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.clip.keys import BLOCK, TEXT, TRANSPOSED, VISUAL
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.hub import load_backbone
from segtune.errors import WeightsError
from segtune.storage.weights import read_state


@pytest.fixture
def clip():
    return random_clip_vit(width=64, text_width=64, layers=2, heads=1, seed=5)


def _official(clip, text_prefix=""):
    """The state dict of a CLIP under the names of the OpenAI code: the key tables, backwards."""
    state = clip.model.state_dict()
    official = {"logit_scale": state.pop("logit_scale")}
    fused: dict[str, list[torch.Tensor]] = {}
    for key, value in state.items():
        tower, table, prefix = (
            ("vision_model", VISUAL, "visual.")
            if "vis" in key.split(".")[0]
            else ("text_model", TEXT, text_prefix)
        )
        names = {new: old for old, new in table.items()} | {new: o for o, new in TRANSPOSED.items()}
        if ".layers." in key:
            number, rest = key.split(".layers.")[1].split(".", 1)
            block = f"{prefix}transformer.resblocks.{number}."
            if rest.startswith(("self_attn.q", "self_attn.k", "self_attn.v")):
                fused.setdefault(f"{block}attn.in_proj_{rest.rsplit('.', 1)[1]}", []).append(
                    ("qkv".index(rest[10]), value)
                )
                continue
            name = next(o + rest[len(n) :] for o, n in BLOCK.items() if rest.startswith(n))
            official[block + name] = value
            continue
        assert key.startswith(tower) or key in TRANSPOSED.values()
        new = next(n for n in names if key == n or key.startswith(n + "."))
        value = value.T if key in TRANSPOSED.values() else value
        official[prefix + names[new] + key[len(new) :]] = value
    for key, parts in fused.items():
        official[key] = torch.cat([value for _, value in sorted(parts, key=lambda part: part[0])])
    return {key: value.contiguous() for key, value in official.items()}


def _equal(a, b):
    a, b = a.model.state_dict(), b.model.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_openai_file(clip, tmp_path):
    official = _official(clip)
    torch.save({"state_dict": official}, tmp_path / "ViT.pt")
    loaded = load_backbone(tmp_path / "ViT.pt", device="cpu")
    assert _equal(loaded, clip)
    assert loaded.fingerprint == clip.fingerprint
    with pytest.raises(WeightsError, match="tokenizer"):
        loaded.tokenize(["road"])


def test_half_precision_files_are_loaded_in_full_precision(clip, tmp_path):
    half = {key: value.half() for key, value in _official(clip).items()}
    save_file(half, tmp_path / "ViT.safetensors")
    loaded = load_backbone(tmp_path / "ViT.safetensors", device="cpu")
    assert loaded.model.logit_scale.dtype == torch.float32


@pytest.mark.parametrize("text_prefix", ["", "text."])
def test_open_clip_export(clip, tmp_path, text_prefix):
    save_file(_official(clip, text_prefix), tmp_path / "open_clip_model.safetensors")
    config = {
        "model_cfg": {"quick_gelu": True, "vision_cfg": {"width": 64}, "text_cfg": {"heads": 4}},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    loaded = load_backbone(tmp_path, device="cpu")
    assert _equal(loaded, clip)
    assert loaded.normalisation.unit_mean == (0.5, 0.5, 0.5)
    config["model_cfg"].pop("quick_gelu")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert load_backbone(tmp_path, device="cpu").model.config.vision_config.hidden_act == "gelu"


@pytest.mark.parametrize("prefix", ["", "module.", "clip_adapter.clip_model."])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_mask_prompts_come_with_the_weights(clip, tmp_path, prefix, depth):
    official = _official(clip)
    prompts = torch.randn(depth, 16, 64).half()
    if depth:
        official["visual.mask_embedding"] = prompts
    state = {prefix + key: value for key, value in official.items()}
    torch.save({"epoch": 3, "name": "ft", "state_dict": state}, tmp_path / "ViT.pt")
    if prefix.startswith("clip_adapter"):  # the whole file is a two-stage model
        state |= {"clip_adapter.non_object_embedding": torch.zeros(1, 16)}
        loaded = clip_vit_from_official(state)
    else:
        loaded = load_backbone(tmp_path / "ViT.pt", device="cpu")
    assert _equal(loaded, clip)
    assert loaded.fingerprint == clip.fingerprint
    if depth:
        assert torch.equal(loaded.mask_prompts, prompts.float())
    else:
        assert loaded.mask_prompts is None  # and not zeros


def test_mask_prompts_of_another_model_are_refused(clip):
    official = _official(clip)
    for shape in [(3, 16, 64), (1, 9, 64), (1, 16, 32)]:
        with pytest.raises(WeightsError, match="mask prompts are"):
            clip_vit_from_official(official | {"visual.mask_embedding": torch.zeros(shape)})


def test_hugging_face_folder(clip, tmp_path):
    clip.model.save_pretrained(tmp_path)
    assert _equal(load_backbone(tmp_path, device="cpu"), clip)


def test_loading_is_strict_and_lists_the_keys(clip, tmp_path):
    official = _official(clip)
    with pytest.raises(WeightsError, match=r"missing.*final_layer_norm"):
        clip_vit_from_official({k: v for k, v in official.items() if "ln_final" not in k})
    with pytest.raises(WeightsError, match=r"nothing stands for visual_projection"):
        clip_vit_from_official({k: v for k, v in official.items() if k != "visual.proj"})
    with pytest.raises(WeightsError, match="surprise"):
        clip_vit_from_official(official | {"surprise": torch.zeros(1)})
    clip.model.save_pretrained(tmp_path)
    state = read_state(tmp_path / "model.safetensors")
    save_file({k: v for k, v in state.items() if "fc1" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="fc1"):
        load_backbone(tmp_path, device="cpu")


def test_places_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        load_backbone(tmp_path / "absent")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_backbone(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="bert"):
        load_backbone(tmp_path)
    (tmp_path / "damaged.pt").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="damaged"):
        load_backbone(tmp_path / "damaged.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="list"):
        load_backbone(tmp_path / "list.pt")


def test_names_need_a_network_or_a_bundle():
    with pytest.raises(WeightsError, match="bundled name"):
        load_backbone("nobody/no-such-clip")
