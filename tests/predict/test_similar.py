"""Objects by example, with the bundled SegPrompt on generated scenes."""

import json

import numpy as np
import pytest
from PIL import Image

import segtune
from segtune.cli.main import main
from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError

WORLD = "synthetic:longtail?size=128&length=12"


@pytest.fixture(scope="module")
def model():
    return segtune.load("segprompt-tiny", device="cpu")


@pytest.fixture(scope="module")
def pair():
    """Two samples of the world with an object of the same class each, and the class."""
    dataset = open_dataset(WORLD, split="val")
    places: dict[int, list[tuple[int, int]]] = {}
    for index in range(len(dataset)):
        for number, item in enumerate(dataset[index].instances):
            if item.mask.sum() > 200:
                places.setdefault(item.class_id, []).append((index, number))
    known = set(dataset.vocabulary.ids_in("known"))
    for class_id, there in places.items():
        if class_id in known and len({index for index, _ in there}) > 1:
            (one, number), (two, _) = there[0], next(x for x in there if x[0] != there[0][0])
            name = dataset.vocabulary.names[class_id]
            return dataset[one], dataset[one].instances[number].mask, dataset[two], name
    raise AssertionError("no class is in two images")


def test_most_objects_are_found_again_in_their_own_image(model):
    dataset = open_dataset(WORLD, split="val")
    hits = []
    for sample in (dataset[index] for index in range(len(dataset))):
        for item in sample.instances:
            if item.mask.sum() < 200:
                continue
            found = model.show((sample, item.mask[None])).find(sample, min_score=0)
            best = found.segments[0].full_mask(found.size)
            others = [x.mask for x in sample.instances if x.class_id == item.class_id]
            hits.append(any((best & x).sum() > 0.5 * (best | x).sum() for x in others))
    assert len(hits) > 20
    assert sum(hits) > 0.6 * len(hits)


def test_segments_are_ranked_and_named(model, pair):
    sample, mask, _, _ = pair
    found = model.show((sample, mask[None])).find(sample, min_score=0)
    scores = [segment.score for segment in found.segments]
    assert scores == sorted(scores, reverse=True)
    assert (found.vocabulary.names, found.source["task"]) == (("object",), "similar")


def test_several_supports_and_the_smallest_score(model, pair):
    one, mask, two, _ = pair
    shown = model.show((one, mask[None]), (one.pixels(), np.stack([mask, mask])))
    assert shown.examples.shape == (3, 64)
    every = shown.find(two, min_score=0).segments
    some = shown.find(two).segments
    assert some == tuple(s for s in every if s.score >= 0.7) or len(some) < len(every)
    assert all(segment.score >= 0.7 for segment in some)


def test_a_class_of_the_training_by_its_name(model, pair):
    _, _, two, name = pair
    found = model.show_class(name).find(two, min_score=0.01)
    assert found.vocabulary.names == (name,)
    assert found.segments
    with pytest.raises(SegtuneError, match="is not a class that the model has a prompt for"):
        model.show_class("giraffe")


def test_a_tiny_object_does_not_vanish(model):
    image = np.full((512, 512, 3), 90, np.uint8)
    mask = np.zeros((1, 512, 512), bool)
    image[100:102, 100:102], mask[0, 100:102, 100:102] = 250, True
    shown = model.show((image, mask))
    nothing = model.show((image, np.ones((1, 512, 512), bool)))
    assert np.abs((shown.examples - nothing.examples).numpy()).max() > 1e-3


def test_bad_supports_are_refused_in_one_line(model, pair):
    sample, mask, _, _ = pair
    for masks, message in (
        (np.zeros((1, 128, 128), bool), "1 of 1 masks are empty"),
        (mask[None, :50], "128"),
        (np.zeros((0, 128, 128), bool), "no object is marked"),
    ):
        with pytest.raises(SegtuneError, match=message) as caught:
            model.show((sample, masks))
        assert "\n" not in str(caught.value)
    with pytest.raises(SegtuneError, match="no support image"):
        model.show()
    with pytest.raises(SegtuneError, match="finds no objects by example"):
        segtune.load("seem-tiny", device="cpu").show((sample, mask[None]))
    with pytest.raises(SegtuneError, match="has no prompts beside it"):
        segtune.load("mask2former-tiny", device="cpu").show((sample, mask[None]))


@pytest.fixture
def files(pair, tmp_path, monkeypatch):
    """photo.png, support.png and mask.png in the current folder."""
    one, mask, two, _ = pair
    monkeypatch.chdir(tmp_path)
    Image.fromarray(two.pixels()).save("photo.png")
    Image.fromarray(one.pixels()).save("support.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save("mask.png")
    return tmp_path


SHOW = ("--model", "segprompt-tiny", "--support", "support.png", "--support-mask", "mask.png")


def test_the_command_writes_what_was_found(files, model, pair, capsys):
    one, mask, two, _ = pair
    assert main(["segment", "photo.png", *SHOW, "--min-score", "0.2", "--out", "found"]) == 0
    said = capsys.readouterr().out
    results = json.loads((files / "found" / "instances.json").read_text())
    expected = model.show((one, mask[None])).find(two, min_score=0.2).segments
    assert len(results["annotations"]) == len(expected)
    assert f"{len(expected)} mask" in said
    assert main(["segment", "photo.png", *SHOW, *SHOW[2:], "--out", "twice"]) == 0


def test_the_command_asks_for_a_class(files, pair):
    name = pair[3]
    words = ["segment", "photo.png", "--model", "segprompt-tiny", "--of-class", name]
    assert main([*words, "--out", "found"]) == 0
    vocabulary = json.loads((files / "found" / "vocabulary.json").read_text())
    assert [entry["name"] for entry in vocabulary["classes"]] == [name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (SHOW[:4], "1 --support and 0 --support-mask given"),
        ((*SHOW, "--vocab", "car"), "--support says which objects are meant; leave --vocab"),
        ((*SHOW, "--points", "1,2"), "not allowed with"),
        (("--of-class", "giraffe", "--model", "segprompt-tiny"), "'giraffe' is not a class"),
        (SHOW[2:], "seem-tiny finds no objects by example"),
        ((*SHOW[:4], "--support-mask", "none.png"), "none.png do not exist"),
        ((*SHOW[:3], "none.png", "--support-mask", "mask.png"), "none.png"),
        ((*SHOW[:3], "mask.png", "--support-mask", "photo.png"), ""),
    ],
)
def test_the_command_refuses_in_one_line(files, words, message, capsys):
    assert main(["segment", "photo.png", *words, "--out", "found"]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert not (files / "found").exists()
