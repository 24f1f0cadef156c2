from dataclasses import replace

import pytest
import torch

from segtune.backbones.hub import load_backbone
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.backbones.uniovseg.files import load_uniovseg, save_uniovseg, uniovseg_from_official
from segtune.backbones.uniovseg.keys import to_official
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.errors import WeightsError
from tests.goldens import Golden, goldens


def official(golden: Golden):
    """The model of a golden of the component `stage1`."""
    config = golden.config
    return uniovseg_from_official(
        golden.part("state_dict"),
        num_heads=config["heads"],
        canvas=config["crop"],
        text_heads=config["clip"]["theads"],
    )


def _equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.golden
def test_official_names_there_and_back():
    for golden in goldens("uniovseg_stage1"):
        state, model = golden.part("state_dict"), official(golden)
        back = to_official(model.state_dict())
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)
        assert model.config.pixel_layers == golden.config["enc_layers"]
        assert model.config.decoder_layers == golden.config["dec_layers"]
        assert model.config.feedforward == golden.config["ffn"]


@pytest.fixture
def model():
    return random_uniovseg(seed=2)


RELEASED_HEADS = replace(
    TINY,
    clip=replace(TINY.clip, text=replace(TINY.clip.text, num_heads=1)),
    num_heads=8,
    groups=32,
    canvas=1024,
)
"""Few numbers, but in what weights do not tell like the released model."""
SIZES = {"num_heads": 4, "groups": 8, "canvas": 64, "text_heads": 4}


def test_a_checkpoint_of_detectron2(model, tmp_path):
    state = to_official(model.state_dict())
    state["pixel_mean"], state["criterion.empty_weight"] = torch.zeros(3), torch.zeros(2)
    torch.save({"model": state, "iteration": 5, "optimizer": {"lr": 0.1}}, tmp_path / "stage1.pth")
    from segtune.storage.weights import read_state

    loaded = uniovseg_from_official(read_state(tmp_path / "stage1.pth"), **SIZES)
    assert _equal(loaded, model)
    assert loaded.config == TINY
    assert loaded.fingerprint == model.fingerprint


def test_it_is_loaded_by_its_name_or_path(model, tmp_path):
    state = to_official(random_uniovseg(RELEASED_HEADS).state_dict())
    torch.save({"model": state}, tmp_path / "stage1.pth")
    loaded = load_backbone(tmp_path / "stage1.pth", device="cpu")
    assert (loaded.kind, loaded.name, loaded.dense_size) == ("uniovseg", "stage1", 1024)
    folder = save_uniovseg(model, tmp_path / "model")
    assert _equal(load_backbone(folder, device="cpu"), model)
    assert _equal(load_proposals(folder, device="cpu"), model)


def test_own_folder(model, tmp_path):
    loaded = load_uniovseg(save_uniovseg(model, tmp_path / "model"))
    assert _equal(loaded, model)
    assert (loaded.name, loaded.config) == (model.name, model.config)
    half = load_uniovseg(save_uniovseg(model, tmp_path / "half", half=True))
    frequencies = [v for k, v in half.named_buffers() if k.endswith("frequencies")]
    assert len(frequencies) == 3
    assert all(torch.equal(a, b) for a, b in zip(frequencies, model.buffers(), strict=True))


def test_loading_is_strict_and_lists_the_keys(model, tmp_path):
    state = to_official(model.state_dict())
    matrix = "sem_seg_head.predictor.pe_layer.positional_encoding_gaussian_matrix"
    with pytest.raises(WeightsError, match="unexpected"):  # one of three encodings is missing
        uniovseg_from_official({k: v for k, v in state.items() if k != matrix}, **SIZES)
    short = {k: v for k, v in state.items() if "iou_embed.2.layers.1.bias" not in k}
    with pytest.raises(WeightsError, match=r"missing masks\.iou_mlps\.2\.2\.bias"):
        uniovseg_from_official(short, **SIZES)
    with pytest.raises(WeightsError, match=r"1 keys are not of a Uni-OVSeg: head\.weight"):
        uniovseg_from_official(state | {"head.weight": torch.zeros(1)}, **SIZES)
    without = {k: v for k, v in state.items() if "predictor." not in k}
    with pytest.raises(WeightsError, match=r"nothing stands for masks\.layers"):
        uniovseg_from_official(without, **SIZES)
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_uniovseg(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(WeightsError, match="'clip', not a Uni-OVSeg"):
        load_uniovseg(tmp_path)
