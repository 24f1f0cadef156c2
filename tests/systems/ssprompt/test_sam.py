"""SSPrompt on SAM and SAM 2: what it may answer, what it learns, and the way back to the pixels."""

import json

import numpy as np
import pytest
import torch

from segtune.backbones.hub import load_backbone
from segtune.backbones.sam.random import random_sam
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError, WeightsError
from segtune.fewshot.fit import FitConfig, fit
from segtune.ops.mask_targets import MaskTargets
from segtune.ops.resize import bilinear
from segtune.predict.segmenter import Segmenter
from segtune.systems import build_system, systems_for, zero_shot_system
from segtune.systems.base import Targets, Words
from segtune.systems.ssprompt.sam_loss import pixel_loss
from segtune.systems.ssprompt.sam_masks import name_masks
from segtune.train.config import LoopConfig
from segtune.types import Features, Geometry, Vocabulary

CLASSES = ("road", "car", "sky")
LEARNERS = ["ssprompt", "spaprompt", "semprompt", "vspl"]
TASKS = [
    ("ssprompt", "semantic"),
    ("ssprompt", "instance"),
    ("spaprompt", "semantic"),
    ("spaprompt", "instance"),
    ("vspl", "semantic"),
    ("semprompt", "semantic"),
]


@pytest.fixture(params=["sam", "sam2"])
def sam(request):
    return random_sam(request.param)


def _system(sam, name, seed=0, **options):
    options = {"point_grid": 3, "class_tokens": 2, "classes": CLASSES} | options
    return build_system(name, sam, options, seed=seed)


def _pixels(batch=1, size=(48, 64), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, *size, generator=generator) * 255


def _words(*names):
    return Words(torch.ones(len(names), 1), names=names)


def _targets(batch=2, size=(48, 64)):
    labels = torch.randint(-2, 3, (batch, *size), generator=torch.Generator().manual_seed(0))
    square = torch.zeros(2, *size, dtype=torch.bool)
    square[0, 8:24, 8:24] = square[1, 30:, 10:40] = True
    return Targets(labels, [MaskTargets(torch.tensor([2, 1]), square)] * batch)


def _shake(system, scale=0.3):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in system.prompts.parameters():
            p.add_(scale * torch.randn(p.shape, generator=generator))


def _answer(system, pixels, words):
    size = tuple(pixels.shape[-2:])
    with torch.no_grad():
        found = system.predict(system.encode(pixels), words, [Geometry(size, size, size)])[0]
    return found.mask_logits if found.pixel_logits is None else found.pixel_logits


def test_registry(sam):
    assert systems_for("sam") == LEARNERS
    assert build_system(zero_shot_system("sam"), sam).num_learned() == 0


@pytest.mark.parametrize("fusion", ["convex", "average"])
@pytest.mark.parametrize("name", ["ssprompt", "spaprompt"])
def test_the_first_step_is_the_model_itself(sam, name, fusion):
    pixels = _pixels()
    before = _system(sam, "sam").region_masks(Features(sam.features(pixels), (8, 8)))
    system = _system(sam, name, fusion=fusion)
    for ours, theirs in zip(system.region_masks(system.encode(pixels)), before, strict=True):
        assert torch.equal(ours, theirs)
    masks, quality = sam.decode(sam.features(pixels), sam.default_tokens(3), replace_unstable=False)
    assert torch.equal(masks[:, :, 0], before[0])
    assert torch.equal(quality[..., 0].clamp(1e-4, 1 - 1e-4), before[1])


def test_learned_clicks_start_on_the_grid(sam):
    system = _system(sam, "vspl")
    torch.testing.assert_close(system.spatial_tokens(), sam.default_tokens(3), atol=1e-5, rtol=0)


def test_class_tokens_start_at_means_of_the_grid(sam):
    one, two = (_system(sam, "semprompt", class_tokens=t) for t in (1, 2))
    mean = sam.default_tokens(3)[:, 0].mean(0)
    assert torch.equal(one.prompts.classes.embeds, mean.repeat(3, 1))
    assert not torch.equal(two.default_classes[0], two.default_classes[1])


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_only_prompts_get_gradients(sam, name, task):
    system = _system(sam, name, task=task)
    system.train()
    features = system.encode(_pixels(2))
    assert not any(value.requires_grad for value in features.tensors.values())
    losses = system.loss(features, _words(*CLASSES), _targets())
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in system.prompts.parameters())
    assert any(p.grad.abs().sum() > 0 for p in system.prompts.parameters())
    assert all(p.grad is None and not p.requires_grad for p in sam.parameters())
    groups = system.parameter_groups(0.1, 0.0)
    assert sum(p.numel() for g in groups for p in g["params"]) == system.num_learned() > 0
    assert not any(module.training for module in sam.modules())


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_an_unlabelled_batch_has_a_finite_loss(name, task):
    system = _system(random_sam(), name, task=task)
    empty = MaskTargets(torch.zeros(0, dtype=torch.long), torch.zeros(0, 48, 64, dtype=torch.bool))
    targets = Targets(torch.full((1, 48, 64), -1), [empty])
    losses = system.loss(system.encode(_pixels()), _words(*CLASSES), targets)
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("name", LEARNERS)
def test_learned_tensors_make_an_equal_system(sam, name):
    system = _system(sam, name)
    _shake(system)
    options = json.loads(json.dumps(system.config_values()))
    other = build_system(name, sam, options, seed=9)
    other.load_learned(system.learned())
    words = _words("car") if name in ("spaprompt", "vspl") else _words("sky", "road")
    assert torch.equal(_answer(system, _pixels(), words), _answer(other, _pixels(), words))
    with pytest.raises(WeightsError, match="do not fit"):
        other.load_learned({})


def test_same_seed_same_start(sam):
    a, b, c = (_system(sam, "ssprompt", seed=s, embed_init="noise").learned() for s in (0, 0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_class_maps_follow_the_words(sam):
    system = _system(sam, "semprompt")
    _shake(system)
    features = system.encode(_pixels())
    with torch.no_grad():
        every = system.class_maps(features, _words(*CLASSES))
        some = system.class_maps(features, _words("sky", "road"))
    assert (every[:, 0] - every[:, 1]).abs().max() > 0
    torch.testing.assert_close(some, every[:, [2, 0]], atol=1e-5, rtol=1e-5)


def test_unstable_masks_are_not_replaced_at_test_time(sam):
    system = _system(sam, "semprompt")
    features, words = system.encode(_pixels()), _words(*CLASSES)
    trained = system.class_maps(features, words)
    with torch.inference_mode():
        assert torch.equal(system.class_maps(features, words), trained)


# -- geometry -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        # Landscape, portrait, square, and padded by the caller before SAM pads again.
        ("sam", ((30, 60), (64, 128), (64, 128)), ((30, 60), (32, 64), (64, 64))),
        ("sam", ((60, 30), (128, 64), (128, 64)), ((60, 30), (64, 32), (64, 64))),
        ("sam", ((30, 30), (64, 64), (64, 64)), ((30, 30), (64, 64), (64, 64))),
        ("sam", ((30, 60), (40, 80), (64, 128)), ((30, 60), (20, 40), (64, 64))),
        ("sam2", ((30, 60), (64, 128), (64, 128)), ((30, 60), (64, 128), (64, 128))),
    ],
)
def test_frame(kind, given, expected):
    assert _system(random_sam(kind), "sam").frame(Geometry(*given)) == Geometry(*expected)


def _painted(system, monkeypatch, row, column):
    """Lets the decoder answer class 0 above `row` and left of `column` of the model input."""

    def decode(features, tokens, **_):
        grid = 4 * features["image"].shape[-1]
        y, x = torch.meshgrid(*2 * [(torch.arange(grid) + 0.5) / grid], indexing="ij")
        first = torch.minimum(row - y, column - x) * 100
        planes = torch.stack([first, -first])[None, :, None].repeat(1, 1, 1, 1, 1)
        return planes[:, : len(tokens)], torch.ones(1, len(tokens), 1)

    monkeypatch.setattr(system.backbone, "decode", decode)


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (33, 90), (50, 50)])
def test_masks_come_back_to_the_pixels(sam, monkeypatch, size):
    """A corner of half the image's height and width is found there, whatever SAM pads."""
    system = _system(sam, "semprompt", classes=("corner", "rest"))
    height, width = size
    long_side = max(size) if sam.keeps_ratio else None
    row, column = (0.5 * side / (long_side or side) for side in size)
    _painted(system, monkeypatch, row, column)
    model = Segmenter(sam)
    image = np.zeros((*size, 3), np.uint8)
    result = model.segment(image, "corner, rest", system=system).semantic
    assert result.shape == size
    expected = np.ones(size, bool)
    expected[: height // 2, : width // 2] = False
    wrong = result != expected
    wrong[[height // 2 - 1, height // 2]] = wrong[:, [width // 2 - 1, width // 2]] = False
    assert not wrong.any()


@pytest.mark.parametrize("size", [(40, 80), (70, 31)])
def test_segment_equals_the_long_way(size):
    sam = random_sam()
    system = _system(sam, "semprompt")
    _shake(system)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = Segmenter(sam).segment(image, "road, car, sky", system=system)

    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    scale = 64 / min(size)
    large = tuple(round(side * scale) for side in size)
    pixels = torch.nn.functional.interpolate(pixels, large, mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = system.class_maps(system.encode(pixels), _words(*CLASSES))[0]
    inner = sam.geometry(*large).resized_size
    maps = bilinear(bilinear(maps, (64, 64))[:, : inner[0], : inner[1]], size)
    assert np.array_equal(result.semantic, maps.argmax(0).numpy())


def test_targets_move_to_the_frame_of_the_masks():
    system = _system(random_sam(), "spaprompt")
    labels = torch.zeros(1, 30, 60, dtype=torch.long)
    labels[:, :15] = 1
    mask = torch.zeros(1, 30, 60, dtype=torch.bool)
    mask[:, :, :30] = True
    moved = system._in_frame(Targets(labels, [MaskTargets(torch.tensor([0]), mask)]))
    assert moved.semantic.shape == (1, 64, 64)
    assert moved.masks[0].masks.shape == (1, 64, 64)
    assert (moved.semantic[0, :16] == 1).all()
    assert (moved.semantic[0, 16:32] == 0).all()
    assert (moved.semantic[0, 32:] == -1).all()
    assert moved.masks[0].masks[0, :32, :32].all()
    assert moved.masks[0].masks.sum() == 32 * 32
    square = Targets(labels[:, :, :30])
    assert system._in_frame(square) is square


# -- answers --------------------------------------------------------------------------------


def test_masks_without_names(sam):
    model = Segmenter(sam)
    image = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    result = model.segment(image, "object", task="instance")
    assert all(s.class_id == 0 and 0 <= s.score <= 1 for s in result.segments)
    with pytest.raises(SegtuneError, match="no text encoder"):
        model.segment(image, "road, car")


def test_near_copies_are_removed():
    sam = random_sam()
    tokens = sam.default_tokens(1).repeat(9, 1, 1)
    system = _system(sam, "sam")
    system.default_tokens = tokens
    assert len(_answer(system, _pixels(), _words("object"))) == 1


@pytest.mark.parametrize("names", [("road", "tree"), ("tree",), ()])
@pytest.mark.parametrize("name", ["ssprompt", "semprompt"])
def test_words_outside_of_the_fit_are_refused(name, names):
    system = _system(random_sam(), name)
    features = system.encode(_pixels())
    size = Geometry((48, 64), (48, 64), (48, 64))
    with pytest.raises(SegtuneError, match="only the classes of the fit"):
        system.predict(features, _words(*names), [size])
    with pytest.raises(SegtuneError, match="only the classes of the fit"):
        system.start(_words(*names), seed=0)


def test_named_masks_work_for_every_task():
    system = _system(random_sam(), "ssprompt")
    image = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    for task in ("semantic", "instance", "panoptic"):
        result = Segmenter(system.backbone).segment(image, "car, sky", system=system, task=task)
        assert result.size == (40, 80)


def test_names_of_masks_are_the_mean_of_the_maps_inside():
    masks = torch.tensor([[[[20.0, 20.0, -20.0]], [[-20.0, -20.0, 20.0]]]])  # (1, 2, 1, 3)
    maps = torch.tensor([[[[4.0, 2.0, -3.0]], [[0.0, 1.0, 0.0]]]])
    probs = maps.softmax(1)[0, :, 0]  # (K, P)
    quality = torch.tensor([[0.8, 0.3]])
    expected = torch.cat(
        [
            torch.stack([0.8 * probs[:, :2].mean(1), 0.3 * probs[:, 2]]),
            torch.tensor([[0.2], [0.7]]),
        ],
        1,
    )
    found = name_masks(masks, quality, maps)[0].softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_pixel_loss_equals_a_loop():
    logits = torch.randn(2, 3, 2, 2)
    labels = torch.tensor([[[0, -1], [2, 1]], [[-2, 1], [1, 0]]])
    terms = [
        -logits[b, :, y, x].log_softmax(0)[labels[b, y, x]]
        for b in range(2)
        for y in range(2)
        for x in range(2)
        if labels[b, y, x] >= 0
    ]
    torch.testing.assert_close(pixel_loss(logits, labels), torch.stack(terms).mean())
    assert pixel_loss(logits, torch.full((2, 5, 7), -1)) == 0


def test_class_names_of_objects_do_not_matter_without_class_tokens():
    system = _system(random_sam(), "spaprompt", task="instance")
    features, targets = system.encode(_pixels(2)), _targets()
    swapped = Targets(
        targets.semantic, [MaskTargets(m.class_ids.flip(0), m.masks) for m in targets.masks]
    )
    a, b = (system.loss(features, _words(*CLASSES), t) for t in (targets, swapped))
    assert a == b


def test_ten_steps_lower_the_loss():
    sam = random_sam()
    with torch.no_grad():  # fresh weights are so small that every mask is flat
        for p in sam.parameters():
            p.mul_(10 if p.ndim > 1 else 1)
    system = _system(sam, "ssprompt", classes=("left", "right"))
    pixels = torch.full((1, 3, 48, 64), 20.0)
    pixels[..., 32:] = 230
    labels = torch.zeros(1, 48, 64, dtype=torch.long)
    labels[..., 32:] = 1
    features, words = system.encode(pixels), _words("left", "right")
    optimizer = torch.optim.Adam(system.prompts.parameters(), lr=0.3)
    totals = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = sum(system.loss(features, words, Targets(labels)).values())
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < totals[0] - 0.03


# -- data and files -------------------------------------------------------------------------


def test_objects_are_asked_for():
    system = _system(random_sam(), "spaprompt", task="instance")
    with pytest.raises(SegtuneError, match="instance masks"):
        system.loss(
            system.encode(_pixels()), _words("x"), Targets(torch.zeros(1, 48, 64, dtype=torch.long))
        )


def test_loading_by_folder(sam, tmp_path):
    folder = tmp_path / "mysam"
    sam.model.save_pretrained(folder)
    loaded = load_backbone(folder, device="cpu")
    assert (loaded.kind, loaded.name, loaded.dense_size, loaded.patch_size) == (
        "sam",
        "mysam",
        64,
        1,
    )
    assert loaded.fingerprint == sam.fingerprint
    words = Segmenter(loaded).words(Vocabulary.of("road", "car"))
    assert words.embeds.shape == (2, 0)
    assert words.names == ("road", "car")
    assert words.background is None


@pytest.mark.parametrize(("name", "task"), [("ssprompt", "instance"), ("vspl", "semantic")])
def test_fit_and_segment_from_the_file(name, task, tmp_path):
    data = SyntheticDataset("jargon", "train", size=(64, 80), length=3)
    model, out = Segmenter(random_sam()), tmp_path / "a.prompts.safetensors"
    config = FitConfig(loop=LoopConfig(steps=2, warmup=0), batch=2, views=1, short_side=64)
    options = {"point_grid": 3, "task": task}
    fit(model, data, system=name, shots=2, options=options, config=config, out=out)
    words = None if name == "ssprompt" else "object"
    result = model.segment(data[2], words, prompts=out, task="instance")
    assert result.size == (64, 80)
