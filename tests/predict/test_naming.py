"""Names for masks: the bundled CLIP knows the things of its world; models that cannot say so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.backbones.clip.masked import region_embeds
from segtune.backbones.clip.random import random_clip_vit
from segtune.backbones.clip_convnext.random import tiny_clip_convnext
from segtune.backbones.uniovseg.random import tiny_uniovseg
from segtune.data.formats import open_dataset
from segtune.data.regions import objects_for
from segtune.data.samples import SomeClasses
from segtune.errors import SegtuneError, WeightsError
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.types import Resolution, TemplateSet, Vocabulary
from tests.conftest import LetterTokenizer

WORDS = "red star, green grass, sky"


@pytest.fixture
def masks():
    masks = np.zeros((3, 40, 52), bool)
    masks[0, 5:20, 8:30] = True
    masks[0, 5:15, 15:30] = False  # an L, with blank patches in its box
    masks[1, 10:39, 2:9] = True
    masks[2, 0, 0] = True
    return masks


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)


def _prompts(model: Segmenter, depth: int = 2, **changes) -> Prompts:
    clip = model.backbone
    patches = (clip.image_size // clip.patch_size) ** 2
    values = {
        "system": "ovseg",
        "options": {},
        "model": clip.name,
        "fingerprint": clip.fingerprint,
        "tensors": {"mask_prompts": torch.randn(depth, patches, clip.width)},
        "vocabulary": Vocabulary.of("car", "tree"),
        "templates": TemplateSet("name", ("{}",)),
        "resolution": Resolution(640, None, 640),
    }
    return Prompts(**(values | changes))


def test_the_bundled_clip_names_the_things_of_its_world():
    dataset = open_dataset("synthetic:base?size=128", split="val")
    model = segtune.load("clip-vit-tiny", device="cpu")
    samples = [objects_for("panoptic", dataset[i], dataset.vocabulary) for i in range(3)]
    shown = {item.class_id for sample in samples for item in sample.instances}
    words = SomeClasses(dataset, sorted(shown | set(range(40))))
    right = count = 0
    for index in range(3):
        sample = objects_for("panoptic", words[index], words.vocabulary)
        masks = np.stack([item.mask for item in sample.instances])
        result = model.classify_masks(sample.pixels(), masks, words.vocabulary)
        assert len(result.segments) == len(masks)
        for segment, item in zip(result.segments, sample.instances, strict=True):
            assert np.array_equal(segment.full_mask(result.size), item.mask)
            ranked = [segment.score, *(score for _, score in segment.alternatives)]
            assert ranked == sorted(ranked, reverse=True)
            assert len(ranked) == 5
            right += segment.class_id == item.class_id
            count += 1
    assert right / count > 0.7  # of some seventy classes


def test_scores_are_those_of_regions_and_words(tiny_model, image, masks):
    clip = tiny_model.backbone
    vocabulary = Vocabulary.of("red star", "green grass", negatives=("sky",))
    result = tiny_model.classify_masks(image, masks, vocabulary, top=2)
    picture = torch.from_numpy(image).permute(2, 0, 1).float()
    config = RegionConfig(size=clip.image_size)
    cut = cut_regions(picture, torch.from_numpy(masks), config, normalisation=clip.normalisation)
    embeds = region_embeds(clip, cut.pixels, path="plain")
    text = tiny_model.words(vocabulary).embeds
    probs = (clip.temperature * embeds @ text.T).softmax(-1)
    for segment, row in zip(result.segments, probs, strict=True):
        assert segment.class_id == int(row[:2].argmax())
        assert segment.score == pytest.approx(float(row[:2].max()), abs=1e-5)
        ((other, score),) = segment.alternatives
        assert other == 1 - segment.class_id
        assert score == pytest.approx(float(row[other]), abs=1e-5)
    assert result.source["masks"] == [0, 1, 2]
    assert result.semantic[15, 15] == result.segments[0].class_id
    assert result.semantic[30, 50] == -1


def test_order_number_and_overlap_do_not_matter(tiny_model, image, masks):
    both = tiny_model.classify_masks(image, masks, WORDS)
    again = tiny_model.classify_masks(image, masks[::-1].copy(), WORDS)
    for first, second in zip(both.segments, again.segments[::-1], strict=True):
        assert first.class_id == second.class_id
        assert first.score == pytest.approx(second.score, abs=1e-5)
    (alone,) = tiny_model.classify_masks(image, masks[1], WORDS).segments
    assert alone.score == pytest.approx(both.segments[1].score, abs=1e-5)
    nothing = tiny_model.classify_masks(image, masks[:0], WORDS)
    assert nothing.segments == ()
    assert (nothing.semantic == -1).all()


def test_mask_prompts_of_a_file_and_of_the_weights(tiny_model, image, masks, tmp_path):
    bare = tiny_model.classify_masks(image, masks, WORDS)
    prompts = _prompts(tiny_model)
    prompted = tiny_model.classify_masks(image, masks, WORDS, prompts=prompts)
    assert [s.score for s in prompted.segments] != [s.score for s in bare.segments]
    assert (bare.source["mask_prompts"], prompted.source["mask_prompts"]) == (0, 2)
    file = prompts.save(tmp_path / "mpt.safetensors")
    of_file = tiny_model.classify_masks(image, masks, prompts=file)
    assert of_file.vocabulary.names == ("car", "tree")
    tiny_model.backbone.mask_prompts = prompts.tensors["mask_prompts"]
    with_weights = tiny_model.classify_masks(image, masks, WORDS)
    assert [s.score for s in with_weights.segments] == [s.score for s in prompted.segments]
    full = np.ones((1, 40, 52), bool)  # no blank patch, so no prompt
    scores = [
        tiny_model.classify_masks(image, full, WORDS, prompts=p).segments[0].score
        for p in (prompts, _prompts(tiny_model, 1))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_two_stage_model_lends_its_clip(tiny_model, tiny_pair, image, masks):
    """Mask prompts that were learned on a CLIP alone serve the pairs that it is part of."""
    pair = Segmenter(tiny_pair, templates="name", resolution=Resolution(32, None, 32))
    prompts = replace(_prompts(tiny_model), options={"prompt_depth": 2})
    for given in (None, prompts):
        alone = tiny_model.classify_masks(image, masks, WORDS, prompts=given)
        lent = pair.classify_masks(image, masks, WORDS, prompts=given)
        assert [s.score for s in lent.segments] == [s.score for s in alone.segments]
    learned = pair.system_for(prompts).mask_prompts
    assert torch.equal(learned, prompts.tensors["mask_prompts"])
    assert pair.segment(image, WORDS, prompts=prompts).semantic.shape == (40, 52)
    with pytest.raises(WeightsError, match="were learned on"):
        pair.system_for(_prompts(tiny_model, fingerprint="0" * 16))


def test_prompts_that_do_not_fit(tiny_model, image, masks):
    other = _prompts(tiny_model, fingerprint="0" * 16)
    with pytest.raises(WeightsError, match="were learned on"):
        tiny_model.classify_masks(image, masks, WORDS, prompts=other)
    rpn = _prompts(tiny_model, system="rpn", tensors={"static": torch.zeros(1)})
    with pytest.raises(SegtuneError, match="prompts of rpn do not help to name masks"):
        tiny_model.classify_masks(image, masks, WORDS, prompts=rpn)
    small = _prompts(tiny_model, tensors={"mask_prompts": torch.zeros(1, 4, 32)})
    with pytest.raises(WeightsError, match="mask prompts are"):
        tiny_model.classify_masks(image, masks, WORDS, prompts=small)


def test_masks_of_an_upright_photo(tiny_model, image, masks, tmp_path):
    """The file lies on its side and says so; masks are those of the picture that one sees."""
    sideways = Image.fromarray(np.rot90(image, 1))
    exif = sideways.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    sideways.save(tmp_path / "photo.png", exif=exif)
    seen = tiny_model.classify_masks(tmp_path / "photo.png", masks, WORDS)
    plain = tiny_model.classify_masks(image, masks, WORDS)
    assert seen.size == plain.size
    assert [s.score for s in seen.segments] == [s.score for s in plain.segments]
    with pytest.raises(SegtuneError, match="turn them, as the image is turned upright"):
        tiny_model.classify_masks(tmp_path / "photo.png", np.rot90(masks, 1, (1, 2)), WORDS)


def test_large_photos_are_looked_at_in_the_working_size(tiny_model, monkeypatch):
    from segtune.predict import naming as classify

    image = np.random.default_rng(1).integers(0, 256, (80, 104, 3), dtype=np.uint8)
    masks = np.zeros((2, 80, 104), bool)
    masks[0, 10:50, 20:60] = True
    masks[1, 3, 3] = True  # smaller than a pixel of the working size
    monkeypatch.setattr(classify, "LARGEST_SIDE", 20)
    monkeypatch.setattr(classify, "PIXELS_AT_ONCE", 1)  # one mask at a time
    result = tiny_model.classify_masks(image, masks, WORDS)
    assert [s.mask.sum() for s in result.segments] == [1600, 1]
    assert result.size == (80, 104)


def test_empty_masks(tiny_model, image, masks):
    masks[1] = False
    with pytest.raises(SegtuneError, match="1 of 3 masks are empty: number 1"):
        tiny_model.classify_masks(image, masks, WORDS)
    result = tiny_model.classify_masks(image, masks, WORDS, empty="skip")
    assert len(result.segments) == 2
    assert result.source["masks"] == [0, 2]


def test_the_cut_can_be_chosen(tiny_model, image, masks):
    scores = [
        [s.score for s in tiny_model.classify_masks(image, masks, WORDS, regions=r).segments]
        for r in (OVSEG, replace(OVSEG, style="crop"))
    ]
    assert scores[0][0] != pytest.approx(scores[1][0], abs=1e-5)
    assert scores[0][1:] == pytest.approx(scores[1][1:], abs=1e-5)  # these fill their boxes


def test_a_model_without_clip(image, masks):
    from segtune.backbones.seem.model import random_seem

    with pytest.raises(SegtuneError, match=r"has no CLIP .* --model clip-vit-tiny"):
        Segmenter(random_seem()).classify_masks(image, masks, WORDS)


def test_no_words(tiny_model, image, masks):
    with pytest.raises(SegtuneError, match="no words to name masks by"):
        tiny_model.classify_masks(image, masks)


@pytest.mark.parametrize("make", [tiny_clip_convnext, tiny_uniovseg])
def test_a_convnext_pools_inside_masks(make, image, masks, tmp_path):
    model = Segmenter(make(tokenizer=LetterTokenizer()), templates="name")
    result = model.classify_masks(image, masks, "red star | sun, sky", top=2)
    clip = getattr(model.backbone, "clip", model.backbone)
    padded = torch.nn.functional.pad(
        clip.normalisation.apply(torch.from_numpy(image).permute(2, 0, 1)[None].float()),
        (0, 12, 0, 24),
    )
    with torch.no_grad():
        place = clip.dense(padded)[-1][0, :, 0, 0]  # the only one that holds the pixel at (0, 0)
        embed = torch.nn.functional.normalize(clip.project(place), dim=-1)
    words = model.words(result.vocabulary).embeds
    probs = (clip.temperature * embed @ words.T).softmax(-1)
    last = result.segments[2]
    assert last.score == pytest.approx(float(probs.max()), rel=1e-4)
    assert last.class_id == int(probs.argmax())
    prompts = _prompts(Segmenter(random_clip_vit(layers=3), templates="name"))
    with pytest.raises(SegtuneError, match="no CLIP that looks at regions"):
        model.classify_masks(image, masks, "a, b", prompts=prompts)
