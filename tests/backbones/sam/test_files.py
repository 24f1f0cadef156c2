"""Loading SAM, SAM 2 and SAM 3 from folders: what fits, and what is said when it does not."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from segtune.backbones.sam.files import load_sam
from segtune.backbones.sam.model import Sam
from segtune.backbones.sam.random import random_sam, random_sam3
from segtune.backbones.sam.sam3 import Sam3
from segtune.errors import WeightsError


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_load(kind, tmp_path):
    sam = random_sam(kind, seed=3)
    sam.model.save_pretrained(tmp_path)
    loaded = load_sam(tmp_path, device="cpu")
    assert isinstance(loaded, Sam)
    assert (loaded.fingerprint, loaded.name) == (sam.fingerprint, tmp_path.name)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]})
    )
    assert load_sam(tmp_path, device="cpu").normalisation.unit_std == (1, 1, 1)


def test_load_the_video_layout_of_sam2(tmp_path):
    # The official SAM 2 repositories hold the video model under this name.
    sam = random_sam("sam2", seed=3)
    sam.model.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"model_type": "sam2_video"}))
    state = load_file(tmp_path / "model.safetensors") | {"memory_encoder.x": torch.zeros(1)}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_sam(tmp_path, device="cpu").fingerprint == sam.fingerprint


def test_load_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        load_sam(tmp_path / "nothing")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_sam(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(WeightsError, match="'clip' model; expected one of sam"):
        load_sam(tmp_path)
    random_sam3().model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        load_sam(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="damaged"):
        load_sam(tmp_path)
    with pytest.raises(WeightsError, match="cannot get the weights"):
        load_sam("nobody/no-such-model")


def test_load_lists_missing_and_wrong_weights(tmp_path):
    random_sam("sam").model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    moved = {key: value for key, value in state.items() if "iou_token" not in key}
    save_file(moved | {"extra.weight": torch.zeros(1)}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"iou_token.*extra\.weight"):
        load_sam(tmp_path)
    wrong = state | {"mask_decoder.iou_token.weight": torch.zeros(1, 7)}
    save_file(wrong, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="does not fit"):
        load_sam(tmp_path)


def test_load_sam3(tmp_path):
    sam = random_sam3(seed=2)
    sam.model.save_pretrained(tmp_path)
    loaded = load_sam(tmp_path, device="cpu")
    assert isinstance(loaded, Sam3)
    assert loaded.fingerprint == sam.fingerprint
    assert loaded.tokenizer is None
    assert loaded.normalisation.unit_mean == (0.5, 0.5, 0.5)


def test_load_the_video_layout_of_sam3(tmp_path):
    # The official repository holds detector and tracker under one config.
    sam = random_sam3(seed=2)
    settings = {"model_type": "sam3_video", "detector_config": sam.model.config.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(settings | {"tracker_config": {}}))
    state = {f"detector_model.{key}": v.clone() for key, v in sam.model.state_dict().items()}
    state |= {"tracker_model.x": torch.zeros(1), "tracker_neck.x": torch.zeros(1)}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = load_sam(tmp_path, device="cpu")
    assert isinstance(loaded, Sam3)
    assert loaded.fingerprint == sam.fingerprint
