"""Files of Mask2Former: official ones of every kind, folders of ours, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from segtune.backbones.hub import load_backbone
from segtune.backbones.mask2former.files import (
    decoder_from_official,
    load_mask2former,
    mask2former_from_official,
    save_mask2former,
)
from segtune.backbones.mask2former.keys import segprompt_tensors, state_to_official
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.mask2former.random import TINY, TINY_SWIN, random_mask2former
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.errors import WeightsError
from segtune.ops.normalisation import HALF
from tests.goldens import goldens

OPTIONS = {"num_heads": TINY.num_heads, "groups": TINY.groups}
PREDICTOR = "sem_seg_head.predictor."


def official(model: Mask2Former) -> dict[str, Tensor]:
    return state_to_official(model.state_dict())


@pytest.fixture(params=["resnet", "swin", "projected"])
def model(request) -> Mask2Former:
    changes = {
        "resnet": {},
        "swin": {"image_encoder": TINY_SWIN},
        "projected": {"hidden": 40, "projects_maps": True},
    }
    return random_mask2former(replace(TINY, **changes[request.param]))


def test_official_names_there_and_back(model):
    state = official(model)
    names = ("backbone.", "sem_seg_head.pixel_decoder.", PREDICTOR)
    assert all(key.startswith(names) for key in state)
    assert f"{PREDICTOR}transformer_ffn_layers.2.linear1.weight" in state
    assert "sem_seg_head.pixel_decoder.transformer.encoder.layers.1.norm2.bias" in state
    again = mask2former_from_official(state, **OPTIONS)
    assert again.config == model.config
    assert again.fingerprint == model.fingerprint
    assert not any(p.requires_grad for p in again.parameters())
    assert not again.train().training


def first_version(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of the first published files."""
    renamed = {
        key.replace("sem_seg_head.pixel_decoder.", "sem_seg_head."): state[key] for key in state
    }
    return {key.replace("query_feat", "static_query"): value for key, value in renamed.items()}


def of_segprompt(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With what its training adds."""
    extra = {
        f"{PREDICTOR}id2feat.weight": torch.zeros(9, 32),
        f"{PREDICTOR}memory_bank.weight": torch.zeros(9, 32),
        f"{PREDICTOR}ex2pe.bias": torch.zeros(32),
        f"{PREDICTOR}open_class_embed.weight": torch.zeros(2, 32),
        "criterion.empty_weight": torch.ones(4),
        "criterion3.empty_weight": torch.ones(4),
    }
    return state | extra


@pytest.mark.parametrize("change", [first_version, of_segprompt])
def test_other_official_files_are_the_same_model(change):
    model = random_mask2former()
    state = change(official(model))
    assert mask2former_from_official(state, **OPTIONS).fingerprint == model.fingerprint
    found = segprompt_tensors(state)
    expected = {"id2feat.weight", "memory_bank.weight", "ex2pe.bias", "open_class_embed.weight"}
    assert set(found) == (expected if change is of_segprompt else set())


@pytest.mark.golden
@pytest.mark.parametrize("component", ["segprompt_decoder_single", "segprompt_decoder_repeat"])
def test_training_tensors_of_segprompt_are_told_from_the_decoder(component):
    for golden in goldens(component):
        state = golden.part("state_dict")
        decoder = decoder_from_official(state, num_heads=golden.config["nheads"])
        extra = segprompt_tensors({PREDICTOR + key: value for key, value in state.items()})
        assert {"id2feat.weight", "memory_bank.weight"} <= set(extra)
        assert len(decoder.state_dict()) == len(state) - len(extra)


def pth(state: dict[str, Tensor], path) -> None:
    torch.save({"model": state, "optimizer": {"step": 3}, "iteration": 7}, path)


def pkl(state: dict[str, Tensor], path) -> None:
    arrays = {key: value.numpy() for key, value in state.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, 4))


@pytest.mark.parametrize("write", [pth, pkl])
def test_official_files(write, tmp_path):
    """Published heads and groups, which no tensor tells."""
    sizes = replace(TINY, num_heads=8, groups=32, hidden=64, pixel_width=64)
    model = random_mask2former(sizes)
    path = tmp_path / f"model_final.{write.__name__}"
    write(official(model), path)
    found = load_mask2former(path, class_agnostic=True)
    assert found.fingerprint == model.fingerprint
    assert found.config == replace(sizes, class_agnostic=True)
    assert found.name == "model_final"


def test_a_pickle_that_is_a_program_is_not_run(tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(WeightsError, match=r"is no array|is damaged"):
        load_mask2former(path)


def test_folders_of_ours_are_models_and_sources_of_masks(model, tmp_path):
    model.normalisation, model.dense_size = HALF, 96
    folder = save_mask2former(model, tmp_path / "small")
    found = load_mask2former(folder)
    for attribute in ("config", "name", "normalisation", "dense_size", "fingerprint"):
        assert getattr(found, attribute) == getattr(model, attribute)
    assert load_backbone(folder, device="cpu").fingerprint == model.fingerprint
    source = load_proposals(folder, device="cpu")
    pixels = torch.rand(1, 3, 64, 96) * 255
    proposed = source.propose(pixels)
    answers = model.answer(pixels)
    assert torch.equal(proposed.mask_logits, answers.mask_logits)
    nothing = answers.class_logits.softmax(-1)[..., -1]
    torch.testing.assert_close(proposed.objectness, 1 - nothing)
    assert source.padding == HALF.mean
    half = save_mask2former(model, tmp_path / "half", half=True)
    size = (half / "model.safetensors").stat().st_size
    assert size < 0.6 * (folder / "model.safetensors").stat().st_size


def test_a_file_is_known_by_its_names(tmp_path):
    """Not taken for a SEEM, whose decoder has the same names but for the classifier."""
    sizes = replace(TINY, num_heads=8, groups=32, hidden=64, pixel_width=64)
    pth(official(random_mask2former(sizes)), tmp_path / "model.pth")
    assert load_backbone(tmp_path / "model.pth", device="cpu").kind == "mask2former"


def test_what_does_not_fit_is_listed(tmp_path):
    state = official(random_mask2former())
    missing, extra = f"{PREDICTOR}class_embed.bias", "sem_seg_head.other.weight"
    with pytest.raises(WeightsError, match=r"missing decoder\.class_linear\.bias"):
        mask2former_from_official({k: state[k] for k in state if k != missing}, **OPTIONS)
    with pytest.raises(WeightsError, match=r"unexpected pixel_decoder\.other\.weight"):
        mask2former_from_official(state | {extra: torch.zeros(1)}, **OPTIONS)
    with pytest.raises(WeightsError, match=r"no part of a Mask2Former: clip\.weight"):
        mask2former_from_official(state | {"clip.weight": torch.zeros(1)}, **OPTIONS)
    with pytest.raises(WeightsError, match="cannot have 5 heads"):
        mask2former_from_official(state, num_heads=5, groups=8)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_mask2former(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_mask2former(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "seem"}))
    torch.save({}, tmp_path / "x.pth")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=re.escape("is a 'seem', not a Mask2Former")):
        load_mask2former(tmp_path)
