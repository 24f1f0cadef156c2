"""What frozen models declare: how files are recognised, what a kind can do, tiny ones for tests."""

import json

import pytest
import torch

from segtune.backbones import MODELS, models_that_can
from segtune.backbones.base import Promptable, ReadsWords
from segtune.backbones.cards import BUNDLED
from segtune.backbones.hub import load_backbone, spec_of_folder, spec_of_state
from segtune.backbones.spec import FolderMark, ModelSpec
from segtune.errors import WeightsError
from segtune.storage.registry import resolve
from tests.conftest import LetterTokenizer

EVERY = list(MODELS)


@pytest.mark.parametrize("kind", EVERY)
def test_everything_that_is_named_is_there(kind):
    spec = MODELS[kind]
    named = [spec.load_folder, spec.load_state, spec.load_pair, spec.load_proposals, spec.random]
    assert all(callable(resolve(target)) for target in named if target)
    assert spec.load_folder or spec.load_proposals
    assert bool(spec.load_folder) == bool(spec.random)
    assert bool(spec.load_proposals) == ("proposals" in spec.can)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if MODELS[kind].random])
def test_tiny_models_are_of_their_kind_and_depend_on_the_seed(kind):
    make = resolve(MODELS[kind].random)
    models = [make(seed=seed, tokenizer=LetterTokenizer()) for seed in (0, 0, 1)]
    assert {model.kind for model in models} == {kind}
    assert models[0].fingerprint == models[1].fingerprint != models[2].fingerprint
    assert not any(p.requires_grad for p in models[0].parameters())
    # What the spec says of the kind is what the model itself says.
    assert isinstance(models[0], ReadsWords) == ("words" in MODELS[kind].can)
    assert isinstance(models[0], Promptable) == ("points" in MODELS[kind].can)
    if isinstance(models[0], ReadsWords):
        assert models[0].encode_text(models[0].tokenize(["red star"])).shape[0] == 1


def test_bundled_models_are_of_known_kinds():
    assert {card.kind for card in BUNDLED} <= set(MODELS)


def test_sentences_name_what_can():
    assert models_that_can("points") == "SEEM, SAM, SAM 2 or Uni-OVSeg"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("config.json", {"model_type": "clip"}, "clip-vit"),
        ("open_clip_config.json", {"model_cfg": {}}, "clip-vit"),
        (
            "open_clip_config.json",
            {"model_cfg": {"vision_cfg": {"timm_model_name": "convnext_large"}}},
            "clip-convnext",
        ),
        ("config.json", {"model_type": "clip-convnext"}, "clip-convnext"),
        ("config.json", {"model_type": "uniovseg"}, "uniovseg"),
        ("config.json", {"model_type": "seem"}, "seem"),
        ("config.json", {"model_type": "sam2_video"}, "sam"),
        ("config.json", {"model_type": "sam3"}, "sam3"),
        ("config.json", {"model_type": "two-stage"}, "two-stage"),
        ("config.json", {"model_type": "text-maskformer"}, "maskformer"),
        ("config.json", {"model_type": "mask2former"}, "hf-maskformer"),
        ("config.json", {"model_type": "bert"}, None),
        ("config.json", [1], None),
    ],
)
def test_folders_are_known_by_what_their_files_say(tmp_path, name, content, kind):
    (tmp_path / name).write_text(json.dumps(content))
    found = spec_of_folder(tmp_path)
    assert (found and found.kind) == kind


def test_what_a_file_says_comes_before_that_it_is_there(tmp_path, monkeypatch):
    mark = FolderMark("open_clip_config.json", "model_cfg.vision_cfg.other")
    monkeypatch.setitem(MODELS._entries, "other", ModelSpec("other", ("Other",), (), (mark,)))
    file = tmp_path / "open_clip_config.json"
    file.write_text('{"model_cfg": {"vision_cfg": {"other": "convnext"}}}')
    assert spec_of_folder(tmp_path).kind == "other"
    file.write_text('{"model_cfg": {"vision_cfg": {"patch_size": 16}}}')
    assert spec_of_folder(tmp_path).kind == "clip-vit"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["visual.conv1.weight"], "clip-vit"),
        (["clip_adapter.clip_model.visual.conv1.weight"], "clip-vit"),
        (["sem_seg_head.predictor.query_feat.weight", "backbone.x"], "seem"),
        (["sem_seg_head.predictor.mask_embed.0", "clip_adapter.clip_model.x"], "two-stage"),
        (["sem_seg_head.predictor.bg_feature"], "two-stage"),
        (["visual.trunk.stem.0.weight", "text_projection"], "clip-convnext"),
        (
            [
                "backbone.clip_model.visual.trunk.stem.0.weight",
                "sem_seg_head.predictor.prompt_encoder.mask_emb",
            ],
            "uniovseg",
        ),
    ],
)
def test_state_dicts_are_known_by_the_names_of_tensors(names, kind):
    assert spec_of_state(names).kind == kind


def test_damaged_and_useless_folders_are_told(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        load_backbone(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "mask2former"}')
    with pytest.raises(WeightsError, match=r"proposes masks and names none; pair it .*\+CLIP"):
        load_backbone(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        WeightsError, match=r"'bert' model; .* model_type clip, clip-convnext, seem"
    ):
        load_backbone(tmp_path)


def test_a_card_gives_its_name_and_size():
    clip = load_backbone("clip-vit-tiny", device="cpu")
    assert (clip.name, clip.dense_size) == ("clip-vit-tiny", 128)
    assert clip.device == torch.device("cpu")
