"""Sources of masks by what their files say they are, and masks without names."""

import json

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    DetrConfig,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    SwinConfig,
)

from segtune.backbones.sam.model import Proposals as SamMasks
from segtune.backbones.sam.proposals import ABSENT, SamProposals
from segtune.backbones.sam.random import random_sam
from segtune.backbones.two_stage.hf_proposals import HfProposals
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.errors import WeightsError


def _tiny(kind):
    stages = [f"stage{i}" for i in range(1, 5)]
    swin = SwinConfig(
        embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=4, out_features=stages
    )
    if kind == "maskformer":
        decoder = DetrConfig(
            d_model=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            num_queries=5,
        )
        config = MaskFormerConfig(
            backbone_config=swin, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32
        )
        return MaskFormerForInstanceSegmentation(config)
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=4,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        num_queries=5,
    )
    return Mask2FormerForUniversalSegmentation(config)


@pytest.mark.parametrize("kind", ["maskformer", "mask2former"])
def test_models_of_transformers(kind, tmp_path):
    model = _tiny(kind).eval()
    model.save_pretrained(tmp_path)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    settings = {"image_mean": mean, "image_std": std}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    source = load_proposals(tmp_path, device="cpu")
    assert isinstance(source, HfProposals)
    assert source.padding == pytest.approx([127.5, 102, 76.5])
    pixels = torch.rand(2, 3, 64, 96) * 255
    found = source.propose(pixels)
    normal = (pixels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = model(pixel_values=normal)
    torch.testing.assert_close(found.mask_logits, expected.masks_queries_logits)
    some = expected.class_queries_logits.softmax(-1)[..., :-1].sum(-1)
    torch.testing.assert_close(found.objectness, some)
    assert found.query_embeds is None
    assert not source.train().training
    assert source.fingerprint == HfProposals(model).fingerprint


def test_sam_is_read_by_its_folder(tmp_path):
    random_sam("sam2", seed=1).model.save_pretrained(tmp_path)
    source = load_proposals(tmp_path, device="cpu")
    assert isinstance(source, SamProposals)
    assert (source.grid, source.stride) == (32, 1)


def test_what_is_no_source_of_masks(tmp_path):
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_proposals(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(WeightsError, match="'clip' model; masks come from one of: text-maskformer"):
        load_proposals(tmp_path)
    with pytest.raises(FileNotFoundError, match="maskformer-swin-base-coco"):
        load_proposals("./nothing/at/all")


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_the_masks_of_sam_lie_over_the_image(kind):
    """Padding of SAM is cut off; where SAM squashes the image, its whole grid is the image."""
    sam = random_sam(kind)
    source = SamProposals(sam, grid=3, min_iou=-9.0, min_stability=0.0)
    pixels = torch.rand(1, 3, 48, 96) * 255
    found = source.propose(pixels)
    geometry = sam.geometry(48, 96)
    own = sam.proposals(
        sam.features(pixels), grid=3, geometry=geometry, min_iou=-9.0, min_stability=0.0
    )[0]
    side = own.mask_logits.shape[-1]
    assert found.mask_logits.shape[-2:] == ((side // 2, side) if kind == "sam" else (side, side))
    # To the size of the input of SAM, then cut: the way of the official code.
    large = F.interpolate(own.mask_logits[None], geometry.input_size, mode="bilinear")[0]
    height, width = geometry.resized_size
    expected = large[:, :height, :width] > 0
    shown = F.interpolate(found.mask_logits, (height, width), mode="bilinear")[0] > 0
    assert (shown == expected).float().mean() > 0.99
    torch.testing.assert_close(found.objectness[0], own.scores)


def test_images_with_fewer_masks_are_filled_up(monkeypatch):
    source = SamProposals(random_sam("sam2"))
    few, many = torch.ones(1, 16, 16), torch.ones(3, 16, 16)
    given = [SamMasks(few, torch.tensor([0.9])), SamMasks(many, torch.tensor([0.8, 0.7, 0.6]))]
    monkeypatch.setattr(source.sam, "proposals", lambda *_, **__: given)
    found = source.propose(torch.zeros(2, 3, 64, 64))
    assert found.objectness.tolist()[0] == pytest.approx([0.9, 0, 0])
    assert (found.mask_logits[0, 1:] == ABSENT).all()
    assert (found.mask_logits[1] == 1).all()
