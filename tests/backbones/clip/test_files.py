"""A CLIP that was changed comes back from its folder to the last bit."""

import torch

from segtune.backbones.clip.files import save_clip_vit
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.hub import load_backbone
from segtune.ops.normalisation import Normalisation
from tests.cli.conftest import export_tiny


def test_round_trip_in_full_precision(tmp_path):
    clip = load_backbone(export_tiny(tmp_path / "tiny", seed=0), device="cpu")
    clip.normalisation = Normalisation.of_unit((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    with torch.no_grad():
        clip.model.visual_projection.weight += 1e-6
    save_clip_vit(clip, tmp_path / "other")
    again = load_backbone(save_clip_vit(clip, tmp_path / "other"), device="cpu")  # replaces it
    state, copy = clip.model.state_dict(), again.model.state_dict()
    assert state.keys() == copy.keys()
    assert all(torch.equal(state[key], copy[key]) for key in state)
    assert (again.name, again.image_size) == ("other", 32)
    assert again.normalisation == clip.normalisation
    assert torch.equal(again.tokenize(["plain"]), clip.tokenize(["plain"]))
    assert not list(tmp_path.glob(".*"))


def test_without_a_tokenizer(tmp_path):
    clip = random_clip_vit()
    again = load_backbone(save_clip_vit(clip, tmp_path / "random"), device="cpu")
    assert again.tokenizer is None
    assert again.fingerprint == clip.fingerprint
