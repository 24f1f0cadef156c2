import pytest
import torch

from segtune.backbones.uniovseg.config import PAPER, RELEASED, UniOvsegConfig
from segtune.backbones.uniovseg.model import UniOvseg
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.errors import SegtuneError, WeightsError
from tests.goldens import close, goldens

from .test_files import official


@pytest.mark.golden
def test_masks_of_a_whole_model():
    for golden in goldens("uniovseg_stage1"):
        model, out = official(golden), golden.part("outputs")
        seen = model.see(golden["inputs.image_0_255"][None])
        boxes = out["points_xyxy"][None]
        prompts = model.points((boxes[..., :2] + boxes[..., 2:]) / 2, seen)
        answers = model.answer(prompts, seen, chunk=4)
        close(answers.ious.flatten(), out["iou_single_sigmoid"])
        masks = answers.logits(seen.mask_features)[0].flatten(0, 1)
        close(masks, out["mask_logits_stride4"])


def test_clicks_and_boxes_have_one_mask_each():
    model = random_uniovseg()
    seen = model.see(torch.randint(0, 256, (2, 3, 64, 96)).float())
    boxes = model.answer(
        model.boxes(torch.tensor([[[1.0, 2, 30, 40]]]).expand(2, -1, -1), seen), seen
    )
    assert boxes.logits(seen.mask_features).shape == (2, 1, 1, 16, 24)
    points, signs = 60 * torch.rand(2, 3, 2, 2), torch.ones(2, 3, 2, dtype=torch.bool)
    clicks = model.answer(model.clicks(points, signs, seen), seen, chunk=2)
    assert clicks.ious.shape == (2, 3, 1)
    assert model.answer(model.boxes(torch.zeros(2, 0, 4), seen), seen).ious.shape == (2, 0, 1)


def test_it_is_frozen_and_its_clip_stays_so():
    model = random_uniovseg().train()
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    model.requires_grad_(True).train()
    assert model.training
    assert not model.clip.training
    assert model.fingerprint == random_uniovseg().fingerprint


def test_words_are_those_of_its_clip():
    model = random_uniovseg()
    tokens = torch.tensor([[62, 3, 63]])
    assert torch.equal(model.encode_text(tokens), model.clip.encode_text(tokens))
    with pytest.raises(WeightsError, match="no tokenizer files"):
        model.tokenize(["road"])
    assert (model.joint_width, model.patch_size, model.dense_size) == (16, 32, 64)


def test_sizes_of_the_published_models():
    """22 million numbers are trained: 5.79 in the pixel decoder, 16.19 in the other two."""
    assert (PAPER.positions, PAPER.decoder_layers, PAPER.canvas) == ("sine", 6, 896)
    with torch.device("meta"):
        model = random_uniovseg(RELEASED)
    count = {
        name: sum(p.numel() for p in part.parameters()) / 1e6
        for name, part in model.named_children()
    }
    assert count["pixel_decoder"] == pytest.approx(5.79, abs=0.01)
    assert count["prompts"] + count["masks"] == pytest.approx(16.19, abs=0.01)


def test_sines_in_place_of_fourier_features():
    from dataclasses import replace

    model = random_uniovseg(replace(TINY, positions="sine"))
    assert not [name for name, _ in model.named_buffers()]
    seen = model.see(torch.zeros(1, 3, 64, 64))
    assert model.answer(model.points(torch.ones(1, 1, 2), seen), seen).ious.isfinite().all()


def test_sizes_that_do_not_fit():
    with pytest.raises(SegtuneError, match="expected fourier or sine"):
        UniOvsegConfig(positions="learned")
    with pytest.raises(SegtuneError, match="canvas=100; expected a multiple of 32"):
        UniOvsegConfig(canvas=100)
    with pytest.raises(WeightsError, match="expected clip, hidden"):
        UniOvsegConfig.from_dict({"hidden": 3})
    assert UniOvsegConfig.from_dict(TINY.to_dict()) == TINY
    assert isinstance(random_uniovseg(), UniOvseg)
