"""The whole SEEM against the official code: model, post-processing, files, X-Decoder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segtune.backbones.decoders.query_groups import QueryGroup
from segtune.backbones.encoders.davit import DaViTConfig
from segtune.backbones.seem.config import (
    SEEM_DAVIT_D3,
    SEEM_DAVIT_D5,
    SEEM_FOCAL_L,
    SEEM_FOCAL_T,
    SeemConfig,
)
from segtune.backbones.seem.files import load_seem, official_state, save_seem, seem_from_official
from segtune.backbones.seem.model import TINY, Seem, random_seem
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.postprocess import instances, panoptic, semantic
from segtune.ops.resize import to_original
from segtune.types import Concept, Geometry, MaskPrediction, SumAtOriginal, Vocabulary
from tests.conftest import LetterTokenizer
from tests.goldens import Golden, close, goldens

TINY_DAVIT = replace(
    TINY,
    image_encoder=DaViTConfig(
        channels=(32, 32, 64, 64),
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        num_groups=(1, 1, 2, 2),
    ),
)


def official(golden: Golden) -> Seem:
    state = golden.part("state")
    width = state["sem_seg_head.predictor.lang_encoder.lang_proj"].shape[0]
    heads = golden.config.get("lang_heads", 4 if width % 4 == 0 else 1)
    return seem_from_official(state, num_heads=golden.config["nheads"], text_heads=heads)


def predictions(golden: Golden) -> list[MaskPrediction]:
    """The answers for the images of the golden, of different size, padded into one batch."""
    seem, given = official(golden), golden.part("in")
    images = [given[f"image{i}"] for i in range(len(given["original_sizes"]))]
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    pixels = torch.full((len(images), 3, height, width), 77.0)
    for row, image, (h, w) in zip(pixels, images, sizes, strict=True):
        row[:, :h, :w] = image
    memory = seem.decoder.prepare(*seem.features(pixels, sizes=sizes))
    text = given["class_text_embeddings"]
    answers = seem.decoder(memory, seem.default_content, seem.default_position, text=text)
    step = golden.config["size_divisibility"]
    padded = (-(-height // step) * step, -(-width // step) * step)
    return [
        MaskPrediction(
            Geometry(tuple(given["original_sizes"][i].tolist()), sizes[i], padded),
            mask_logits=answers.mask_logits[i],
            class_logits=answers.class_logits[i],
            decision=SumAtOriginal(seem.mask_resize),
        )
        for i in range(len(images))
    ]


def vocabulary_of(golden: Golden) -> Vocabulary:
    things = golden.config["thing_classes"]
    return Vocabulary(
        tuple(
            Concept(f"class {i}", kind="thing" if i in things else "stuff")
            for i in range(golden.config["num_classes"])
        )
    )


@pytest.mark.golden
def test_whole_model_is_the_official_one():
    for golden in goldens("seem_full"):
        out = golden.part("out")
        for i, prediction in enumerate(predictions(golden)):
            close(prediction.class_logits, out["pred_logits"][i])
            close(prediction.mask_logits, out["pred_masks"][i])


@pytest.mark.golden
def test_semantic_answers_are_the_official_ones():
    for golden in goldens("seem_full"):
        for i, prediction in enumerate(predictions(golden)):
            expected = golden[f"out/sem_seg{i}"]  # in half precision
            masks = to_original(
                prediction.mask_logits, prediction.geometry, last_step=prediction.mask_rule.resize
            )
            class_probs = prediction.class_logits.softmax(-1)[:, :-1]
            scores = torch.einsum("qk,qhw->khw", class_probs, masks.sigmoid())
            close(scores, expected, steps=1)
            label_map = semantic(prediction, vocabulary_of(golden)).semantic
            agreement = (label_map == expected.float().argmax(0).numpy()).mean()
            assert agreement > 0.98


@pytest.mark.golden
def test_panoptic_answers_are_the_official_ones():
    for golden in goldens("seem_full"):
        config = golden.config
        for i, prediction in enumerate(predictions(golden)):
            found = panoptic(
                prediction,
                vocabulary_of(golden),
                min_score=config["object_mask_threshold"],
                overlap=config["overlap_threshold"],
            )
            ids = golden[f"out/panoptic{i}"].numpy()
            expected = np.full(ids.shape, -1)
            for segment in config["panoptic_segments"][str(i)]:
                expected[ids == segment["id"]] = segment["category_id"]
            assert (found.semantic != expected).mean() < 1e-3
            own = sorted((s.class_id, int(s.mask.sum())) for s in found.segments)
            official_areas = sorted(
                (segment["category_id"], int((ids == segment["id"]).sum()))
                for segment in config["panoptic_segments"][str(i)]
            )
            assert [c for c, _ in own] == [c for c, _ in official_areas]
            for (_, area), (_, official_area) in zip(own, official_areas, strict=True):
                assert abs(area - official_area) <= 1e-3 * ids.size


@pytest.mark.golden
def test_instance_answers_are_the_official_ones():
    for golden in goldens("seem_full"):
        top = golden.config["test_topk"]
        for i, prediction in enumerate(predictions(golden)):
            found = instances(prediction, vocabulary_of(golden), top=top, things_only=True).segments
            masks = golden[f"out/instance_masks{i}"]
            kept = masks.flatten(1).any(1)  # ours leaves empty masks out
            scores, order = golden[f"out/instance_scores{i}"][kept].sort(descending=True)
            classes = golden[f"out/instance_classes{i}"][kept][order].tolist()
            close(torch.tensor([segment.score for segment in found]), scores)
            size = prediction.geometry.original_size
            for segment, class_id, mask in zip(found, classes, masks[kept][order], strict=True):
                assert segment.class_id == class_id
                assert (segment.full_mask(size) != mask.numpy()).mean() < 1e-3


# -- official files -------------------------------------------------------------------------------


@pytest.mark.golden
def test_official_names_there_and_back():
    for golden in goldens("seem_full"):
        state = golden.part("state")
        back = official_state(official(golden))
        assert set(state) - set(back) <= {"criterion.empty_weight", "dilation_kernel"}
        assert set(back) <= set(state)
        assert all(torch.equal(back[key], state[key]) for key in back)


@pytest.mark.parametrize("config", [TINY, TINY_DAVIT], ids=["focalnet", "davit"])
@pytest.mark.parametrize("half", [False, True])
def test_folders_go_through_the_official_loader(config, half, tmp_path):
    seem = random_seem(config, seed=3)
    folder = save_seem(seem, tmp_path / "model", half=half)
    again = load_seem(folder)
    assert again.config == config
    assert (again.name, again.normalisation) == (seem.name, seem.normalisation)
    if half:
        assert (folder / "model.safetensors").stat().st_size < 0.6 * _num_bytes(seem)
    else:
        assert again.fingerprint == seem.fingerprint
    from_file = load_seem_file(folder, config)
    assert from_file.fingerprint == again.fingerprint


def load_seem_file(folder, config: SeemConfig) -> Seem:
    from segtune.storage.weights import read_state

    state = read_state(folder / "model.safetensors")
    found = seem_from_official(state, num_heads=4, text_heads=4, groups=8)
    assert replace(found.config, image_encoder=config.image_encoder) == replace(
        config, text=found.config.text
    )
    return found


def _num_bytes(seem: Seem) -> int:
    return sum(4 * parameter.numel() for parameter in seem.parameters())


def test_x_decoder_leaves_its_last_query_out(tmp_path):
    torch.manual_seed(0)
    state = {
        key: value
        for key, value in official_state(random_seem(seed=1)).items()
        if not any(part in key for part in ("sptial", "spatial", "pn_indicator"))
    }
    prefix = "sem_seg_head.predictor."
    state[prefix + "caping_embed"] = torch.zeros(32, 32)
    state[prefix + "pos_embed_caping.weight"] = torch.zeros(77, 32)
    state[prefix + "self_attn_mask"] = torch.zeros(1, 83, 83, dtype=torch.bool)
    seem = seem_from_official(state, num_heads=4, text_heads=4, groups=8)
    assert seem.points is None
    assert seem.config.has_image_query
    assert seem.default_content.shape == seem.default_position.shape == (5, 32)
    memory = seem.decoder.prepare(*seem.features(torch.rand(1, 3, 64, 64) * 255))
    found = seem.decoder(memory, seem.default_content, seem.default_position)
    # The official way: all queries, the last one and the others hidden from each other.
    blocked = torch.zeros(6, 6, dtype=torch.bool)
    blocked[:-1, -1] = blocked[-1, :-1] = True
    queries = seem.decoder.query_content, seem.decoder.query_position
    every = seem.decoder.answer(memory, [QueryGroup(*queries, blocked=blocked)])[0]
    torch.testing.assert_close(found.mask_logits, every.mask_logits[:, :-1], atol=1e-4, rtol=1e-4)
    with pytest.raises(SegtuneError, match="takes no points"):
        seem.segment_points(memory, torch.rand(1, 1, 1, 2))
    again = load_seem(save_seem(seem, tmp_path))
    assert again.config == seem.config
    assert again.fingerprint == seem.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("sem_seg_head.predictor.query_embed.weight"), "missing query_position"),
        (lambda s: s.pop("sem_seg_head.predictor.class_embed"), "class_embed"),
        (lambda s: s.pop("sem_seg_head.predictor.spatial_embed.weight"), "slot_position"),
        (lambda s: s.pop("sem_seg_head.predictor.pn_indicator.weight"), "point prompts, not all"),
        (lambda s: s.update(surprise=torch.zeros(1)), "no part of a SEEM.*surprise"),
        (
            lambda s: s.update({"sem_seg_head.predictor.query_embed.weight": torch.zeros(7, 32)}),
            r"query_position \(7, 32\) instead of \(6, 32\)",
        ),
        (lambda s: s.clear(), "not a"),
    ],
)
def test_official_files_that_do_not_fit_are_refused(change, message):
    state = official_state(random_seem())
    change(state)
    with pytest.raises(WeightsError, match=message):
        seem_from_official(state, num_heads=4, text_heads=4, groups=8)


def test_folders_that_are_no_seem_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_seem(tmp_path / "nothing.pt")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_seem(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(WeightsError, match="'clip', not a SEEM"):
        load_seem(tmp_path)
    sizes = TINY.to_dict() | {"colour": "red"}
    with pytest.raises(WeightsError, match="colour"):
        SeemConfig.from_dict(sizes)
    with pytest.raises(WeightsError, match="unknown image encoder 'vgg'"):
        SeemConfig.from_dict({"image_encoder": {"type": "vgg"}})


# -- sizes and promises ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "encoder", "pixel_decoder"),
    [
        (SEEM_FOCAL_T, 29.9, 31.5),
        (SEEM_FOCAL_L, 205.7, None),
        (SEEM_DAVIT_D3, 86.9, None),
        (SEEM_DAVIT_D5, 360.6, 32.7),
    ],
    ids=["focal-t", "focal-l", "davit-d3", "davit-d5"],
)
def test_published_sizes_in_millions_of_parameters(config, encoder, pixel_decoder):
    with torch.device("meta"):
        seem = Seem(config)
    scale = seem.decoder.logit_scale  # shared with the text tower

    def millions(*modules: torch.nn.Module) -> float:
        return sum(p.numel() for m in modules for p in m.parameters() if p is not scale) / 1e6

    assert millions(seem.image_encoder) == pytest.approx(encoder, abs=0.06)
    if pixel_decoder is not None:
        assert millions(seem.pixel_decoder) == pytest.approx(pixel_decoder, abs=0.06)
    assert millions(seem.decoder, seem.points) == pytest.approx(39.8, abs=0.06)
    assert millions(seem.text) == pytest.approx(63.4, abs=0.06)
    assert SeemConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_frozen_stays_frozen():
    seem = random_seem().train()
    assert not any(module.training for module in seem.modules())
    assert not any(parameter.requires_grad for parameter in seem.parameters())
    assert seem.decoder.logit_scale is seem.text.logit_scale
    assert seem.fingerprint == random_seem().fingerprint != random_seem(seed=1).fingerprint


def masks_of(seem: Seem, pixels: Tensor, **options) -> Tensor:
    memory = seem.decoder.prepare(*seem.features(pixels, **options))
    return seem.decoder(memory, seem.default_content, seem.default_position).mask_logits


@pytest.mark.parametrize("size", [(1, 1), (32, 64), (45, 70)])
def test_padding_is_zero_after_normalisation(size):
    seem = random_seem()
    pixels = torch.rand(1, 3, *size) * 255
    padded = torch.tensor(seem.normalisation.mean).view(1, 3, 1, 1).repeat(1, 1, 64, 96)
    padded[..., : size[0], : size[1]] = pixels
    found = masks_of(seem, padded)
    junk = padded + 40
    junk[..., : size[0], : size[1]] = pixels
    torch.testing.assert_close(masks_of(seem, junk, sizes=[size]), found)
    if size == (45, 70):
        torch.testing.assert_close(masks_of(seem, pixels), found)
    before = junk.clone()
    masks_of(seem, junk, sizes=[size])
    assert torch.equal(before, junk)


def test_words_points_and_boxes():
    seem = random_seem()
    with pytest.raises(WeightsError, match="no tokenizer"):
        seem.tokenize(["cat"])
    seem.tokenizer = LetterTokenizer()
    tokens = seem.tokenize(["cat", "a horse"])
    assert tokens.shape == (2, 9)
    torch.testing.assert_close(seem.encode_text(tokens).norm(dim=-1), torch.ones(2))
    assert seem.tokenize([]).shape == (0, 0)
    with pytest.raises(SegtuneError, match="reads 64"):
        seem.tokenize(["word " * 20])
    memory = seem.decoder.prepare(*seem.features(torch.rand(2, 3, 64, 64) * 255))
    text = seem.encode_text(tokens)
    boxes = torch.tensor([[[0.1, 0.1, 0.6, 0.7]]]).expand(2, -1, -1)
    answers = seem.segment_boxes(memory, boxes, per_side=3, text=text)
    assert answers.mask_logits.shape == (2, 1, 16, 16)
    assert answers.class_logits.shape == (2, 1, 2)
    asked = seem.ask_points(memory, torch.tensor([[0.2, 0.3], [0.9, 0.9]]), num_copies=3)
    assert asked.class_embeds.shape == (2, 2, 16)
