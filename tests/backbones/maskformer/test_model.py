"""MaskFormer with a text space against the official code, its files, and what the goldens leave."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.files import (
    load_maskformer,
    maskformer_from_official,
    save_maskformer,
)
from segtune.backbones.maskformer.keys import NO_OBJECT, config_from_official, state_to_official
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from segtune.errors import WeightsError
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched.matching import assign, match_costs
from segtune.ops.normalisation import IMAGENET
from segtune.ops.set_loss import MASKFORMER, SetPrediction, set_loss
from tests.goldens import Golden, close, goldens

CONFIG = MaskFormerConfig(
    SwinConfig(8, (1, 1, 1, 1), (1, 1, 2, 2), window=4),
    fpn_width=32,
    mask_dim=16,
    hidden=32,
    feedforward=24,
    num_layers=2,
    num_queries=5,
    joint_width=12,
    class_hidden=20,
)
ZEGFORMER = replace(CONFIG, class_hidden=None)
R101C = replace(CONFIG, image_encoder=ResNetConfig((1, 1, 1, 3), (4, 4, 8), bottleneck=2, out=8))


@pytest.fixture(scope="module")
def official() -> list[tuple[Golden, MaskFormer]]:
    """Every golden with the model of its weights."""
    found = []
    for golden in goldens("ovseg_proposals"):
        state = golden.part("sd") | {NO_OBJECT: golden["in.text_features_with_noobject"][-1:]}
        heads = golden.metadata["nheads"]
        found.append((golden, maskformer_from_official(state, num_heads=heads)))
    return found


@pytest.mark.golden
def test_sizes_are_read_from_the_weights(official) -> None:
    for golden, model in official:
        wanted, config = golden.metadata, model.config
        assert config.image_encoder.depths == tuple(wanted["depths"])
        assert config.image_encoder.num_heads == tuple(wanted["heads"])
        assert config.image_encoder.window == wanted["window"]
        found = (config.fpn_width, config.mask_dim, config.hidden, config.feedforward)
        assert found == tuple(wanted[name] for name in ("conv", "mask", "hidden", "ffn"))
        found = (config.num_layers, config.num_queries, config.joint_width, config.class_hidden)
        assert found == tuple(wanted[name] for name in ("dec", "Q", "clip", "embed_hidden"))


@pytest.mark.golden
def test_official_outputs_of_every_layer(official) -> None:
    for golden, model in official:
        pixels = golden["in.image"][None]
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
        for index, level in enumerate(model.image_encoder((pixels - mean) / std)):
            close(level, golden[f"out.res{index + 2}"])
        coarsest, mask_features = model.features(pixels)
        close(mask_features, golden["out.mask_features"])
        *earlier, last = model.decode(coarsest, mask_features, every_layer=True)
        close(last.mask_logits, golden["out.mask_logits"])
        close(last.query_embeds, golden["out.query_embeddings"])
        for index, found in enumerate(earlier):
            close(found.query_embeds, golden[f"out.aux{index}.query_embeddings"])
        words = golden["in.text_features_with_noobject"][:-1]
        logits = model.class_logits(last.query_embeds, words)
        close(logits, golden["out.class_logits"])
        assert torch.equal(model.propose(pixels).mask_logits, last.mask_logits)


@pytest.mark.golden
def test_official_losses_and_assignment(official) -> None:
    weights = {"class": ("ce", 1.0), "mask": ("mask", 20.0), "dice": ("dice", 1.0)}
    for golden, model in official:
        words = golden["in.text_features_with_noobject"][:-1]
        layers = model.decode(*model.features(golden["in.image"][None]), every_layer=True)
        heads = [
            SetPrediction(model.class_logits(found.query_embeds, words), found.mask_logits)
            for found in layers
        ]
        targets = MaskTargets(golden["in.gt_labels"], golden["in.gt_masks"].bool())
        losses = set_loss(heads, [targets], MASKFORMER)
        assert len(losses) == 3 * len(heads)
        for name, value in losses.items():
            kind, _, layer = name.removeprefix("loss_").partition("_")
            official_name, weight = weights[kind]
            key = f"out.loss_unweighted.loss_{official_name}" + (f"_{layer}" if layer else "")
            close(value / weight, golden[key])
        small = F.interpolate(targets.masks[None].float(), heads[-1].mask_logits.shape[-2:])
        costs = match_costs(
            heads[-1].class_logits[0],
            heads[-1].mask_logits[0].flatten(1),
            targets.class_ids,
            small[0].flatten(1),
            class_weight=1,
            mask_weight=20,
            dice_weight=1,
            focal=True,
        )
        pairs = assign([costs])[0]
        assert pairs.query_ids.tolist() == golden["out.match.query"].tolist()
        assert pairs.target_ids.tolist() == golden["out.match.target"].tolist()


# -- class logits -------------------------------------------------------------------------------


def test_class_logits_by_hand() -> None:
    words, queries = torch.eye(12)[:2], torch.randn(2, 3, 12)
    for config, length in ((CONFIG, 1.0), (ZEGFORMER, None)):
        model = MaskFormer(config)
        nothing = model.no_object / model.no_object.norm() if length else model.no_object
        unit = queries / queries.norm(dim=-1, keepdim=True)
        expected = 100 * torch.cat([unit[..., :2], (unit * nothing).sum(-1, keepdim=True)], -1)
        torch.testing.assert_close(model.class_logits(queries, words), expected)


def test_proposals_have_no_objectness_and_need_no_gradient() -> None:
    found = MaskFormer(CONFIG).propose(torch.rand(2, 3, 64, 96) * 255)
    assert found.mask_logits.shape == (2, 5, 16, 24)
    assert found.query_embeds.shape == (2, 5, 12)
    assert found.objectness is None
    assert not found.mask_logits.requires_grad


def test_frozen_means_frozen() -> None:
    model = MaskFormer(CONFIG)
    assert not model.train().training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_mean_colour_is_what_padding_looks_like() -> None:
    """Zero inside of the model: the first convolution sees its bias only."""
    model = MaskFormer(CONFIG)
    pixels = torch.tensor(model.padding).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    patches = model.image_encoder.patches
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    torch.testing.assert_close(
        patches((pixels - mean) / std), patches.bias.view(1, -1, 1, 1).expand(1, -1, 8, 8)
    )


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, ZEGFORMER, R101C])
def test_folders_keep_everything(config, tmp_path) -> None:
    model = MaskFormer(config, name="one", dense_size=96)
    loaded = load_maskformer(save_maskformer(model, tmp_path / "other"))
    assert (loaded.name, loaded.dense_size, loaded.config) == ("one", 96, config)
    assert loaded.fingerprint == model.fingerprint
    half = load_maskformer(save_maskformer(model, tmp_path / "half", half=True))
    pixels = torch.rand(1, 3, 64, 64) * 255
    found, expected = half.propose(pixels), model.propose(pixels)
    torch.testing.assert_close(found.query_embeds, expected.query_embeds, atol=2e-2, rtol=0)


@pytest.mark.parametrize("config", [CONFIG, ZEGFORMER, R101C])
def test_official_files_are_read_whole_or_in_part(config, tmp_path) -> None:
    """With and without the second stage's CLIP and what training leaves behind."""
    model = MaskFormer(config)
    state = state_to_official(model.state_dict(), config)
    assert config_from_official(state) == config
    rest = {
        "clip_adapter.clip_model.visual.proj": torch.zeros(2, 2),
        "clip_adapter.pixel_mean": torch.zeros(1, 3, 1, 1),
        "clip_adapter.prompt_learner.prefix_prompt": torch.zeros(2, 2),
        "_region_clip_adapter.clip_model.logit_scale": torch.zeros(()),
        "_region_clip_adapter.non_object_embedding": torch.zeros(1, 12),
        "criterion.empty_weight": torch.zeros(4),
        "backbone.layers.0.blocks.0.attn.relative_position_index": torch.zeros(2, 2),
        "sem_seg_head.predictor.logit_scale": torch.zeros(1),
    }
    for name, extra in (("part", {}), ("whole", rest)):
        torch.save({"model": state | extra, "iteration": 3}, tmp_path / f"{name}.pth")
        loaded = load_maskformer(tmp_path / f"{name}.pth")
        assert loaded.fingerprint == model.fingerprint
        assert loaded.name == name


def test_both_spellings_of_the_pixel_decoder() -> None:
    """zsseg issue 13: the head writes its prefix twice, and the official loader ignores it."""
    model = MaskFormer(CONFIG)
    state = state_to_official(model.state_dict(), CONFIG)
    doubled = {
        key.replace("sem_seg_head.pixel_decoder.", "sem_seg_head.pixel_decoder.pixel_decoder."): v
        for key, v in state.items()
    }
    assert doubled.keys() != state.keys()
    assert maskformer_from_official(doubled).fingerprint == model.fingerprint
    with pytest.raises(WeightsError, match="both stand for"):
        maskformer_from_official(state | doubled)


def test_strict_loading_lists_everything() -> None:
    state = state_to_official(MaskFormer(CONFIG).state_dict(), CONFIG)
    missing = ("backbone.norm1.bias", "sem_seg_head.predictor.input_proj.weight")
    extra = {"sem_seg_head.predictor.more.weight": torch.zeros(1), "backbone.x": torch.zeros(1)}
    changed = {k: v for k, v in state.items() if k not in missing} | extra
    message = "missing image_encoder.output_norms.1.bias, query_decoder.input.weight; "
    with pytest.raises(WeightsError, match=f"{message}unexpected image_encoder.x, more.weight"):
        maskformer_from_official(changed)
    with pytest.raises(WeightsError, match="missing no_object"):
        maskformer_from_official({k: v for k, v in state.items() if k != NO_OBJECT})
    with pytest.raises(WeightsError, match=r"no part of a MaskFormer: text\.weight"):
        maskformer_from_official(state | {"text.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="not a MaskFormer of OVSeg"):
        maskformer_from_official({"backbone.norm1.bias": torch.zeros(1)})


def test_folders_that_are_none_of_ours(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_maskformer(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "maskformer"}')
    with pytest.raises(WeightsError, match="'maskformer', not a MaskFormer with a text space"):
        load_maskformer(tmp_path)
    save_maskformer(MaskFormer(CONFIG), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["backbone.patch_embed.norm.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"wrong shape image_encoder\.patch_norm\.bias \(3,\)"):
        load_maskformer(tmp_path)
