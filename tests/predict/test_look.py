"""Clicks and boxes: geometry on images of any size, order, names, and models that cannot answer."""

from __future__ import annotations

import gc
import weakref
from dataclasses import FrozenInstanceError, replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.prompting import ObjectMasks
from segtune.backbones.sam.random import random_sam, random_sam3
from segtune.backbones.seem.model import TINY, random_seem
from segtune.backbones.uniovseg.everything import EverythingConfig
from segtune.backbones.uniovseg.random import random_uniovseg
from segtune.errors import SegtuneError
from segtune.predict.look import to_segmentation
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.systems import build_system
from segtune.types import IGNORE, Geometry, Resolution, Segmentation, Vocabulary
from tests.conftest import LetterTokenizer

SIZES = [(64, 64), (45, 70), (130, 50), (64, 96), (33, 200)]


def make_seem() -> Segmenter:
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


@pytest.fixture
def model() -> Segmenter:
    return make_seem()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def discs(centres: torch.Tensor, grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """(P, h, w) logits, positive within 6 px of centres (P, 2) in pixels of an input of `size`."""
    rows = (torch.arange(grid[0]) + 0.5) * size[0] / grid[0]
    columns = (torch.arange(grid[1]) + 0.5) * size[1] / grid[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    distance = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    return 36 - distance


def middle(mask: np.ndarray) -> np.ndarray:
    """(x, y) of the centre of mass of a mask."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean() + 0.5, ys.mean() + 0.5])


# -- geometry -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("short_side", [64, 100])
def test_a_disc_follows_the_click(model, monkeypatch, size, short_side):
    """A SEEM that answers with a disc at the point it is given: it must lie under the click."""

    def disc(memory, points_norm, labels=None, *, text=None, **rest):
        height, width = (4 * side for side in memory.mask_features.shape[-2:])
        centres = points_norm[0, :, 0] * torch.tensor([width, height]) + 0.5
        masks = discs(centres, memory.mask_features.shape[-2:], (height, width))
        none = torch.zeros(1, len(masks), 1)
        return DecoderOutput(masks[None], none, None, none, none)

    monkeypatch.setattr(model.backbone, "segment_points", disc)
    image = picture(*size)
    clicks = [
        (x * size[1], y * size[0]) for x, y in [(0.5, 0.5), (0.3, 0.4), (0.35, 0.4), (0.7, 0.6)]
    ]
    resolution = Resolution(short_side, None, short_side)
    result = model.segment_points(image, clicks, resolution=resolution)
    assert result.size == size
    scale = short_side / min(size)
    for click, segment in zip(clicks, result.segments, strict=True):
        mask = segment.full_mask(size)
        assert np.abs(middle(mask) - click).max() < 0.6 + 0.6 / scale
        radius = np.sqrt(mask.sum() / np.pi)
        assert abs(radius - 6 / scale) < 1


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_filled_with_points(model, monkeypatch, size):
    seen = []
    real = model.backbone.segment_boxes

    def boxes(memory, boxes_norm, **rest):
        seen.append(boxes_norm)
        return real(memory, boxes_norm, **rest)

    monkeypatch.setattr(model.backbone, "segment_boxes", boxes)
    height, width = size
    box = (0.25 * width, 0.5 * height, 0.75 * width, height)
    result = model.segment_boxes(picture(*size), [box])
    assert len(result.segments) == 1
    scale = 64 / min(size)
    resized = np.array([round(width * scale), round(height * scale)])
    given = np.ceil(resized / 32) * 32
    expected = (np.array(box).reshape(2, 2) / (width, height) * resized - 0.5) / given
    assert np.allclose(seen[0][0, 0].reshape(2, 2).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
@pytest.mark.parametrize("size", SIZES[:3])
def test_a_disc_follows_the_click_on_sam(monkeypatch, kind, size):
    sam = random_sam(kind)
    side = sam.input_size

    def decode(features, tokens, *, multimask=False, **rest):
        masks = discs(tokens[:, 0] * side + 0.5, (side // 2, side // 2), (side, side))
        masks = masks[None, :, None]
        worse = torch.zeros_like(masks)
        scores = torch.tensor([0.2, 0.9]).expand(1, len(tokens), 2)
        return torch.cat([worse, masks], 2), scores

    monkeypatch.setattr(sam, "tokens_of_points", lambda points, labels=None: points)
    monkeypatch.setattr(sam, "decode", decode)
    clicks = [(x * size[1], y * size[0]) for x, y in [(0.5, 0.5), (0.3, 0.4), (0.7, 0.6)]]
    result = Segmenter(sam, templates="name").segment_points(picture(*size), clicks)
    for click, segment in zip(clicks, result.segments, strict=True):
        pixel = np.array(size[::-1]) / side  # length of a pixel of the input, along x and y
        assert (np.abs(middle(segment.full_mask(size)) - click) < 0.6 + 0.6 * pixel).all()
        assert segment.score == pytest.approx(0.9)


@pytest.mark.parametrize("size", SIZES)
def test_answers_equal_the_plain_steps(model, size):
    """Resize, pad, ask, resize and cut, written out for one object with two clicks."""
    image, seem = picture(*size), model.backbone
    points, labels = [[(10.0, 20.0), (30.5, 8.25)]], [[1, 0]]
    result = model.segment_points(image, points, labels)
    scale = 64 / min(size)
    height, width = (round(side * scale) for side in size)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    if (height, width) != size:
        pixels = F.interpolate(
            pixels, (height, width), mode="bilinear", align_corners=False, antialias=True
        )
    memory = seem.decoder.prepare(*seem.features(pixels))
    given = (-(-height // 32) * 32, -(-width // 32) * 32)
    columns = torch.tensor(points) * torch.tensor([width / size[1], height / size[0]]) - 0.5
    norm = columns / torch.tensor(given[::-1])
    masks = seem.segment_points(memory, norm[None], torch.tensor([labels])).mask_logits
    masks = F.interpolate(masks, given, mode="bilinear", align_corners=False)
    masks = masks[..., :height, :width]
    if (height, width) != size:
        masks = F.interpolate(masks, size, mode="bicubic", align_corners=False, antialias=True)
    same = (masks[0, 0] > 0).numpy() == result.segments[0].full_mask(size)
    assert same.mean() > 0.999


# -- many objects, many questions -----------------------------------------------------------------


def test_every_object_is_answered_for_itself_and_in_order(model):
    image = picture(48, 80)
    objects = [[(i * 4 + 2.0, 20.0)] + [(70.0, 40.0)] * (i % 3) for i in range(19)]
    together = model.segment_points(image, objects)
    assert len(together.segments) == 19
    for i in (0, 7, 18):
        alone = model.segment_points(image, [objects[i]])
        one, other = (s.full_mask((48, 80)) for s in (alone.segments[0], together.segments[i]))
        assert (one == other).mean() > 0.999
        assert alone.segments[0].score == pytest.approx(together.segments[i].score, abs=1e-4)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_sam_answers_objects_with_any_number_of_clicks(kind):
    model = Segmenter(random_sam(kind), templates="name")
    image = picture(48, 80)
    objects = [[(10, 10)], [(20, 20), (30, 30)], [(60, 5)]]
    labels = [[1], [1, 0], [1]]
    together = model.segment_points(image, objects, labels)
    for i in range(3):
        alone = model.segment_points(image, objects[i : i + 1], labels[i : i + 1])
        one, other = (s.full_mask((48, 80)) for s in (alone.segments[0], together.segments[i]))
        assert (one == other).all()
    boxes = model.segment_boxes(image, [(5, 5, 30, 30), (40, 10, 80, 48)])
    assert len(boxes.segments) == 2
    assert all(0 <= segment.score <= 1 for segment in boxes.segments)


def equal(a: Segmentation, b: Segmentation) -> bool:
    """Whether two answers are the same, bit for bit."""
    rows = zip(a.segments, b.segments, strict=True)
    return (
        np.array_equal(a.semantic, b.semantic)
        and a.source == b.source
        and all(
            (x.class_id, x.score, x.box_px) == (y.class_id, y.score, y.box_px)
            and np.array_equal(x.mask, y.mask)
            for x, y in rows
        )
    )


@pytest.fixture
def looks(model, monkeypatch):
    """One entry per image that went through the image encoder of `model`."""
    calls: list[int] = []
    real = model.backbone.features
    monkeypatch.setattr(model.backbone, "features", lambda x: calls.append(0) or real(x))
    return calls


def test_a_look_answers_many_questions_and_equals_single_calls(model, looks):
    image = picture(40, 56)
    seen = model.look(image)
    words = Vocabulary.of("red star", "green grass", "sky")
    answers = [
        seen.points([(5, 5), (30, 9)]),
        seen.points([[(5, 5), (30, 9)]], [[1, 0]], vocabulary=words),
        seen.boxes([(1, 1, 9, 9)], vocabulary=words),
        seen.words(words),
        seen.words(words, task="panoptic", min_score=0.0),
        seen.points([(5, 5), (30, 9)]),
    ]
    assert len(looks) == 1
    assert equal(answers[0], answers[-1])
    assert equal(answers[0], model.segment_points(image, [(5, 5), (30, 9)]))
    once = model.segment_points(image, [[(5, 5), (30, 9)]], [[1, 0]], vocabulary=words)
    assert equal(answers[1], once)
    assert equal(answers[2], model.segment_boxes(image, [(1, 1, 9, 9)], vocabulary=words))
    assert equal(answers[3], model.segment(image, words))
    assert equal(answers[4], model.segment(image, words, task="panoptic", min_score=0.0))
    assert len(looks) == 6


def test_a_look_has_its_own_size_and_prompts_may_want_another(model, looks):
    image, words = picture(40, 56), Vocabulary.of("a", "b")
    resolution = Resolution(96, None, 96)
    large = model.look(image, resolution=resolution)
    assert large.resolution == resolution
    assert equal(large.words(words), model.segment(image, words, resolution=resolution))
    once = model.segment_points(image, [(5, 5)], resolution=resolution)
    assert equal(large.points([(5, 5)]), once)
    looks.clear()
    system = model.system_for(None)
    prompts = Prompts(
        system="seem",
        options=system.config_values(),
        model=model.backbone.name,
        fingerprint=model.backbone.fingerprint,
        tensors={},
        vocabulary=words,
        templates=model.templates,
        resolution=model.resolution,
    )
    answer = large.words(prompts=prompts)
    assert len(looks) == 1  # at the size of the prompts
    assert equal(answer, model.segment(image, words))


def test_a_look_does_not_change(model):
    seen = model.look(picture(40, 40))
    with pytest.raises(FrozenInstanceError):
        seen.pixels = picture(40, 41)
    assert hash(seen) == hash(seen)
    assert seen != model.look(picture(40, 40))


def test_a_model_holds_no_image(model):
    image = picture(40, 40)
    seen = model.look(image)
    alive = [weakref.ref(seen), weakref.ref(seen.looked.memory.mask_features)]
    seen.points([(5, 5)])
    model.segment_points(image, [(9, 9)])
    del seen
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_learned_class_tokens_of_sam_answer_words_from_a_look():
    """A SAM resizes the image for words in its own way, so the look is not what they begin with."""
    model = Segmenter(random_sam())
    options = {"classes": ("a", "b"), "point_grid": 2}
    system = build_system("semprompt", model.backbone, options)
    image = picture(40, 56)
    answer = model.look(image).words("a, b", system=system)
    assert equal(answer, model.segment(image, "a, b", system=system))
    with pytest.raises(SegtuneError, match="no text encoder"):
        model.look(image).words("a, b")


def test_nothing_asked_gives_an_empty_answer(model):
    for result in (
        model.segment_points(picture(40, 50), []),
        model.segment_boxes(picture(40, 50), np.zeros((0, 4)), vocabulary="a, b"),
    ):
        assert result.segments == ()
        assert (result.semantic == IGNORE).all()
        assert result.semantic.shape == (40, 50)


# -- names and scores -----------------------------------------------------------------------------


def test_masks_are_named_by_words(model):
    image = picture(48, 64)
    plain = model.segment_points(image, [(9, 9), (40, 20)])
    assert plain.vocabulary.names == ("object",)
    assert plain.source["task"] == "promptable"
    words = Vocabulary.of("red star", "green grass", negatives=("sky",))
    named = model.segment_points(image, [(9, 9), (40, 20)], vocabulary=words)
    assert named.vocabulary == words
    for a, b in zip(plain.segments, named.segments, strict=True):
        assert np.array_equal(a.mask, b.mask)
        assert b.class_id in (0, 1)
        assert 0 <= b.score <= a.score


def test_the_likeliest_word_and_the_better_mask_win():
    logits = torch.full((3, 2, 4), -9.0)
    logits[0, :, :3], logits[1, :, 1:] = 2.0, 5.0
    classes = torch.tensor([[5.0, 0, 9, 9], [0, 5, 0, 0], [5, 0, 0, 0]])  # word, word, not, none
    geometry = Geometry((2, 4), (2, 4), (2, 4))
    words = Vocabulary.of("a", "b", negatives=("c",))
    result = to_segmentation(ObjectMasks(logits, classes), words, geometry)
    assert [segment.class_id for segment in result.segments] == [0, 1, 0]
    quality, named = torch.tensor(5.0).sigmoid(), torch.tensor([0, 5, 0.0]).softmax(0)[1]
    assert result.segments[1].score == pytest.approx(float(quality * named))
    assert result.segments[2].score == 0
    assert result.segments[2].mask.size == 0
    assert result.semantic.tolist() == [[0, 1, 1, 1]] * 2
    unnamed = to_segmentation(
        ObjectMasks(logits[:2], qualities=torch.tensor([0.9, 0.1])), words, geometry
    )
    assert [s.score for s in unnamed.segments] == pytest.approx([0.9, 0.1])
    assert unnamed.semantic.tolist() == [[0, 0, 0, 0]] * 2


def test_learned_class_embeddings_name_masks(model, tmp_path):
    import segtune
    from segtune.data.synthetic import SyntheticDataset
    from segtune.train.config import LoopConfig

    data = SyntheticDataset("jargon", "train", size=(64, 64), length=2)
    config = segtune.FitConfig(loop=LoopConfig(steps=2, lr=0.3), views=1, batch=1, short_side=64)
    prompts = segtune.fit(model, data, system="semprompt", shots=2, config=config)
    result = model.segment_points(data[0], [(20, 20)], prompts=prompts)
    assert result.vocabulary == data.vocabulary
    plain = model.segment_points(data[0], [(20, 20)], vocabulary=data.vocabulary)
    assert np.array_equal(result.segments[0].mask, plain.segments[0].mask)
    assert result.segments[0].score != plain.segments[0].score


# -- what cannot be answered ----------------------------------------------------------------------


def test_models_that_take_no_points(tiny_model):
    image = picture(32, 32)
    for model in (tiny_model, Segmenter(random_sam3(), templates="name")):
        with pytest.raises(SegtuneError, match="takes no points or boxes; choose a SEEM"):
            model.segment_points(image, [(3, 3)])
    xdecoder = random_seem(replace(TINY, has_points=False))
    model = Segmenter(xdecoder, resolution=Resolution(64, None, 64))
    with pytest.raises(SegtuneError, match="takes no points or boxes; use a SEEM"):
        model.segment_boxes(image, [(3, 3, 9, 9)])
    with pytest.raises(SegtuneError, match="reads no words"):
        Segmenter(random_sam(), templates="name").segment_points(image, [(3, 3)], vocabulary="a")


def test_points_outside_of_the_image(model):
    with pytest.raises(SegtuneError, match=r"point \(50, 3\) lies outside of the image of 40x32"):
        model.segment_points(picture(32, 40), [(3, 3), (50, 3)])
    with pytest.raises(SegtuneError, match="reaches outside"):
        model.segment_boxes(picture(32, 40), [(3, 3, 41, 9)])
    with pytest.raises(SegtuneError, match="uint8"):
        model.segment_points(picture(32, 40).astype(float), [(3, 3)])


def test_the_mask_of_a_box_stays_inside_of_it():
    from segtune.backbones.seem.model import random_seem
    from segtune.predict.segmenter import Segmenter
    from segtune.types import Resolution

    model = Segmenter(random_seem(), resolution=Resolution(64, None, 32))
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    box = (10, 20, 50, 60)
    for seed in range(3):
        with torch.no_grad():  # masks that are true everywhere leave the box if nothing stops them
            model.backbone.decoder.mask_mlp[-1].bias.normal_(std=3.0 + seed)
        model = Segmenter(model.backbone, resolution=Resolution(64, None, 32))
        mask = model.segment_boxes(image, [box]).segments[0].full_mask((70, 90))
        outside = np.ones((70, 90), dtype=bool)
        outside[20:60, 10:50] = False
        assert not mask[outside].any()


# -- everything ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [random_sam, lambda: random_sam("sam2"), random_uniovseg])
def test_everything_is_what_the_model_finds(make, monkeypatch):
    backbone = make()
    image = picture(48, 64)
    monkeypatch.setattr(backbone, "everything", EverythingConfig((3, 3), 0.0), raising=False)
    if hasattr(backbone, "proposals"):  # a random SAM is sure of nothing
        sure = {"grid": 3, "min_iou": -10.0, "min_stability": 0.0}
        monkeypatch.setattr(backbone, "proposals", partial(backbone.proposals, **sure))
    segmenter = Segmenter(backbone)
    result = segmenter.segment_everything(image)
    found = backbone.look(image).everything()
    assert len(result.segments) == len(found.qualities) > 0
    scores = [segment.score for segment in result.segments if segment.mask.any()]
    assert scores == sorted(scores, reverse=True)
    assert result.source["task"] == "everything"
    assert result.vocabulary.names == ("object",)


def test_everything_of_a_model_that_only_answers(model):
    with pytest.raises(SegtuneError, match="SAM, SAM 2 or Uni-OVSeg"):
        model.segment_everything(picture(64, 64))
