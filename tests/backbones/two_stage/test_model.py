"""Pairs of a proposal network and a CLIP: what they say of themselves, and where they come from."""

import json

import pytest
import torch

from segtune.backbones.base import Proposals
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.hub import load_backbone
from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.keys import state_to_official
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.two_stage.model import TwoStage
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.backbones.two_stage.random import random_two_stage
from segtune.errors import WeightsError
from segtune.predict.segmenter import Segmenter
from segtune.systems.ovseg.config import options_of_model
from tests.backbones.test_hub import _official


@pytest.fixture
def clip():
    """Of heads 64 wide, as official files have them."""
    return random_clip_vit(width=64, text_width=64, layers=2, heads=1, seed=5)


def official_file(clip, *, class_hidden: int | None = 24) -> dict[str, torch.Tensor]:
    """A checkpoint of both stages under the names of the ov-seg code."""
    maskformer = random_maskformer(class_hidden=class_hidden)
    state = state_to_official(maskformer.state_dict(), maskformer.config)
    # Random tiny files have 8 heads where published ones do: widths must allow it.
    state |= {f"clip_adapter.clip_model.{key}": value for key, value in _official(clip).items()}
    state["clip_adapter.pixel_mean"] = torch.zeros(1, 3, 1, 1)
    state["criterion.empty_weight"] = torch.ones(5)
    return state


def write(state, path):
    torch.save({"model": state, "iteration": 3}, path)
    return path


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(autouse=True)
def _sizes_of_tiny_files(monkeypatch):
    """Head and group numbers are not in official files; these are those of `random_maskformer`."""
    from segtune.backbones.maskformer import files as maskformer_files
    from segtune.backbones.two_stage import files as two_stage_files

    def tiny(state, *, name="maskformer"):
        return maskformer_files.maskformer_from_official(state, num_heads=4, groups=4, name=name)

    monkeypatch.setattr(two_stage_files, "maskformer_from_official", tiny)


def test_a_checkpoint_of_ovseg_is_both_stages_with_its_mask_prompts(clip, tmp_path):
    prompts = torch.randn(3, 16, 64)[:2].half()
    state = official_file(clip) | {"clip_adapter.clip_model.visual.mask_embedding": prompts}
    pair = load_backbone(write(state, tmp_path / "ovseg_vitB.pth"), device="cpu")
    assert (pair.kind, pair.name, pair.recipe) == ("two-stage", "ovseg_vitB", "ovseg")
    assert same_weights(pair.proposals, random_maskformer())
    assert pair.clip.fingerprint == clip.fingerprint
    assert torch.equal(pair.clip.mask_prompts, prompts.float())
    assert (pair.dense_size, pair.settings, pair.templates) == (640, {}, "vild_14")


@pytest.mark.parametrize("prefix", ["clip_adapter.", "_region_clip_adapter."])
def test_a_checkpoint_of_simbaseline_brings_its_words(clip, tmp_path, prefix):
    state = official_file(clip)
    learner = f"{prefix}prompt_learner."
    words = torch.randn(16, 64)
    state |= {f"{learner}prefix_prompt": words, f"{learner}start_signal": torch.zeros(1, 64)}
    pair = load_backbone(write(state, tmp_path / "zsseg.pth"), device="cpu")
    assert pair.recipe == "simbaseline"
    assert torch.equal(pair.word_prompts["prefix"], words)
    assert pair.word_prompts["suffix"].shape == (0, 64)
    only_regions = prefix.startswith("_region")
    assert pair.settings == {"words_for": "regions" if only_regions else "both"}


def test_zegformer_has_no_clip_in_its_file_and_is_paired_with_one(clip, tmp_path):
    maskformer = random_maskformer(class_hidden=None)
    state = state_to_official(maskformer.state_dict(), maskformer.config)
    file = write(state, tmp_path / "zegformer.pth")
    with pytest.raises(WeightsError, match="without its CLIP; add one with --model FILE"):
        load_backbone(file, device="cpu")
    torch.save(_official(clip), tmp_path / "ViT.pt")
    # `load_maskformer` takes the head numbers of published files, so a folder stands in here.
    save_maskformer(maskformer, tmp_path / "zegformer")
    pair = load_backbone(f"{tmp_path / 'zegformer'}+{tmp_path / 'ViT.pt'}", device="cpu")
    assert pair.recipe == "zegformer"
    assert pair.templates == "zegformer_single"


def test_the_clip_of_a_whole_checkpoint_can_be_paired_with_other_proposals(clip, tmp_path):
    file = write(official_file(clip), tmp_path / "ovseg.pth")
    save_maskformer(random_maskformer(), tmp_path / "masks")
    pair = load_backbone(f"{tmp_path / 'masks'}+{file}", device="cpu")
    assert pair.clip.fingerprint == clip.fingerprint
    assert pair.name == "tiny-maskformer+clip of ovseg"


def test_tensors_that_are_missing_are_listed(clip, tmp_path):
    state = official_file(clip)
    del state["sem_seg_head.predictor.input_proj.weight"]
    with pytest.raises(WeightsError, match=r"query_decoder\.input\.weight"):
        load_backbone(write(state, tmp_path / "ovseg.pth"), device="cpu")


@pytest.fixture
def folders(clip, tmp_path):
    save_maskformer(random_maskformer(), tmp_path / "masks")
    torch.save(_official(clip), tmp_path / "ViT.pt")
    (tmp_path / "pair").mkdir()
    return tmp_path


def write_pair(folders, **entries):
    values = {"model_type": "two-stage", "proposals": "../masks", "clip": "../ViT.pt"} | entries
    (folders / "pair" / "config.json").write_text(json.dumps(values))
    return folders / "pair"


def test_a_folder_names_its_two_parts(folders, clip):
    path = write_pair(folders, dense_size=96, templates="single", settings={"weight": 0.5})
    pair = load_backbone(path, device="cpu")
    assert (pair.name, pair.dense_size, pair.templates) == ("pair", 96, "single")
    assert pair.settings == {"weight": 0.5}
    assert pair.clip.fingerprint == clip.fingerprint
    model = Segmenter(pair)
    assert model.templates.name == "single"
    assert model.resolution.short_side == 96
    assert model.resolution.crop is None


def test_mistakes_in_a_folder_are_told(folders):
    with pytest.raises(WeightsError, match=r"needs proposals and clip.*it has thresold"):
        load_backbone(write_pair(folders, thresold=0.4), device="cpu")
    with pytest.raises(WeightsError, match="recipe 'sam'; expected ovseg, simbaseline, zegformer"):
        load_backbone(write_pair(folders, recipe="sam"), device="cpu")
    with pytest.raises(
        WeightsError, match=r"nowhere.* neither bundled, nor downloaded, nor a place"
    ):
        load_backbone(write_pair(folders, proposals="./nowhere"), device="cpu")
    with pytest.raises(WeightsError, match=r"stranger/model.* neither bundled"):
        load_backbone(write_pair(folders, clip="stranger/model"), device="cpu")


@pytest.mark.parametrize("name", ["", " ", 7, None])
def test_a_part_of_a_pair_has_a_name(folders, name):
    with pytest.raises(WeightsError, match="as clip; expected a model or a place"):
        load_backbone(write_pair(folders, clip=name), device="cpu")


def test_a_pair_in_a_pair_has_no_end(folders):
    with pytest.raises(WeightsError, match="names a pair as clip"):
        load_backbone(write_pair(folders, clip="."), device="cpu")


def test_proposals_alone_name_nothing(folders):
    with pytest.raises(WeightsError, match=r"names none; pair it .* --model .*masks\+CLIP"):
        load_backbone(folders / "masks", device="cpu")


def test_both_parts_must_share_a_space(tiny_clip):
    with pytest.raises(WeightsError, match="words of width 24 but those of tiny-clip are 16"):
        TwoStage(random_maskformer(joint_width=24), tiny_clip)


def test_the_fingerprint_is_of_everything_that_answers(tiny_clip):
    plain = random_two_stage(tiny_clip)
    assert plain.fingerprint == random_two_stage(tiny_clip).fingerprint
    others = [TwoStage(random_maskformer(class_hidden=None), tiny_clip)]
    others.append(TwoStage(random_maskformer(), random_clip_vit(layers=3, context=64, seed=2)))
    others.append(
        TwoStage(random_maskformer(), tiny_clip, word_prompts={"prefix": torch.ones(1, 2)})
    )
    prints = {pair.fingerprint for pair in (plain, *others)}
    tiny_clip.mask_prompts = torch.ones(1, 16, 32)
    prints.add(random_two_stage(tiny_clip).fingerprint)
    assert len(prints) == 5


def test_frozen_means_frozen(tiny_pair):
    tiny_pair.train()
    assert not any(module.training for module in tiny_pair.modules())
    assert not any(parameter.requires_grad for parameter in tiny_pair.parameters())


def test_proposals_that_know_no_words_say_nothing_about_them(tiny_pair):
    words = torch.eye(16)[:3]
    found = tiny_pair.proposals.propose(torch.zeros(2, 3, 64, 64))
    assert tiny_pair.class_logits(found, words).shape == (2, 7, 4)
    assert tiny_pair.class_logits(Proposals(found.mask_logits), words) is None


def test_words_are_those_of_the_clip(tiny_pair, tiny_clip):
    tokens = tiny_pair.tokenize(["dog", "grass"])
    assert torch.equal(tokens, tiny_clip.tokenize(["dog", "grass"]))
    assert torch.equal(tiny_pair.encode_text(tokens), tiny_clip.encode_text(tokens))


def test_the_bundled_pair():
    pair = load_backbone("ovseg-tiny", device="cpu")
    assert (pair.name, pair.kind, pair.recipe) == ("ovseg-tiny", "two-stage", "ovseg")
    assert pair.proposals.fingerprint == load_proposals("maskformer-tiny").fingerprint
    assert pair.clip.name == "clip-vit-tiny"
    by_parts = load_backbone("maskformer-tiny+clip-vit-tiny", device="cpu")
    assert by_parts.fingerprint == pair.fingerprint
    assert pair.dense_size == by_parts.dense_size == 256
    assert options_of_model("two-stage", pair)["weight"] == pair.settings["weight"]
