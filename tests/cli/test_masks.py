"""`segtune segment --masks`: one image, several images, and masks that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.prompts import Prompts
from segtune.types import Resolution, TemplateSet, Vocabulary
from tests.cli.conftest import Run, save
from tests.cli.test_bad_input import is_refused

WORDS = ("--vocab", "star, grass")


def _write(path: Path, size: tuple[int, int], *, empty: bool = False) -> Path:
    mask = np.zeros(size, np.uint8)
    if not empty:
        mask[2:9, 3:20] = 255
    return save(path, mask)


def test_one_image_and_a_folder_of_masks(run: Run, photos: Path, model_folder: str) -> None:
    for name in ("0", "1"):
        _write(Path("masks") / f"{name}.png", (32, 40))
    outcome = run(
        *("segment", photos / "a.png", "--masks", "masks", *WORDS, "--model", model_folder),
        *("--format", "overlay,coco,png"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 masks" in outcome.out
    content = json.loads(Path("segmented/instances.json").read_text())
    boxes = [entry["bbox"] for entry in content["annotations"]]
    assert boxes == [[3, 2, 17, 7]] * 2
    assert Image.open("segmented/overlays/a.png").size[0] >= 40
    labels = np.asarray(Image.open("segmented/labels/a.png"))
    assert (labels[2:9, 3:20] < 2).all()
    assert (labels != 255).sum() == 7 * 17


def test_several_images(run: Run, photos: Path, model_folder: str) -> None:
    _write(Path("masks/a/0.png"), (32, 40))
    _write(Path("masks/b.png"), (48, 32))
    outcome = run("segment", photos, "--masks", "masks", *WORDS, "--model", model_folder)
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 masks in 2 images" in outcome.out
    _write(photos / "c.png", (32, 32))
    outcome = run("segment", photos, "--masks", "masks", *WORDS, "--model", model_folder)
    assert outcome.status == 1
    assert "segtune: c.png: masks has no masks for c; for several images" in outcome.err
    assert "1 of 3 inputs could not be read" in outcome.err


def test_mask_prompts(run: Run, photos: Path, model_folder: str) -> None:
    _write(Path("masks/0.png"), (32, 40))
    clip = segtune.load(model_folder, device="cpu").backbone
    shape = (1, (clip.image_size // clip.patch_size) ** 2, clip.width)
    Prompts(
        system="ovseg",
        options={},
        model=clip.name,
        fingerprint=clip.fingerprint,
        tensors={"mask_prompts": torch.randn(shape)},
        vocabulary=Vocabulary.of("star", "grass"),
        templates=TemplateSet("name", ("{}",)),
        resolution=Resolution(640, None, 640),
    ).save("mpt.safetensors")
    outcome = run(
        *("segment", photos / "a.png", "--masks", "masks", "--prompts", "mpt.safetensors"),
        *("--model", model_folder),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "1 mask" in outcome.out


def test_a_bundled_clip_is_the_default(run: Run, photos: Path) -> None:
    _write(Path("masks/0.png"), (32, 40))
    outcome = run("segment", photos / "a.png", "--masks", "masks", *WORDS)
    assert (outcome.status, outcome.err) == (0, "")
    assert "model clip-vit-tiny" in outcome.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--masks", "absent.json", *WORDS), "masks absent.json do not exist; check the path"),
        (("--masks", "masks"), 'no words to look for; type --vocab "road, car, tree"'),
        (("--masks", "masks", *WORDS, "--task", "panoptic"), "leave --task, --size and --crop out"),
        (("--masks", "masks", *WORDS, "--size", 64), "leave --task, --size and --crop out"),
        (("--masks", "masks", *WORDS, "--set", "weight=0.5"), "leave --system and --set out"),
        (("--skip-empty", *WORDS), "add --masks PATH"),
        (("--masks", "small.png", *WORDS), "small.png are 30x20 but the image is 40x32"),
        (("--masks", "masks", *WORDS), r"1 of 2 masks are empty: number 1, .* \(--skip-empty\)"),
    ],
)
def test_what_is_refused(
    run: Run, photos: Path, model_folder: str, words: tuple[object, ...], expected: str
) -> None:
    _write(Path("masks/0.png"), (32, 40))
    _write(Path("masks/1.png"), (32, 40), empty=True)
    _write(Path("small.png"), (20, 30))
    outcome = run("segment", photos / "a.png", *words, "--model", model_folder, "--out", "out")
    is_refused(outcome, expected)
    assert not Path("out").exists()  # nothing half written


def test_empty_masks_can_be_skipped(run: Run, photos: Path, model_folder: str) -> None:
    _write(Path("masks/0.png"), (32, 40), empty=True)
    _write(Path("masks/1.png"), (32, 40))
    outcome = run(
        *("segment", photos / "a.png", "--masks", "masks", *WORDS, "--skip-empty"),
        *("--model", model_folder),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "1 mask\n" in outcome.out
    assert outcome.out.splitlines()[3].split()[0] == "1"  # its number among those given


def test_points_and_masks_together(run: Run, photos: Path) -> None:
    outcome = run("segment", photos / "a.png", "--masks", "m", "--points", "1,2", *WORDS)
    assert outcome.status == 2
    assert "not allowed with argument" in outcome.err


def test_a_model_without_clip(run: Run, photos: Path, seem_folder: str) -> None:
    _write(Path("masks/0.png"), (32, 40))
    outcome = run("segment", photos / "a.png", "--masks", "masks", *WORDS, "--model", seem_folder)
    is_refused(outcome, "has no CLIP that looks at regions; name masks with --model clip-vit-tiny")


def test_damaged_masks_can_be_left_out(run, model_folder, photos):
    whole = {"size": [32, 40], "counts": [0, 640, 640]}
    entries = [whole, {"size": [32, 40], "counts": [-5, 1285]}, whole]
    Path("masks.json").write_text(json.dumps(entries))
    words = ("segment", photos / "a.png", "--vocab", "red, blue", "--model", model_folder)
    outcome = run(*words, "--masks", "masks.json")
    assert outcome.status == 2
    assert "masks.json: mask 1 has negative run lengths" in outcome.err
    outcome = run(*words, "--masks", "masks.json", "--skip-bad")
    assert outcome.status == 0
    assert outcome.out.count("\n") > 3
    assert "2 masks" in outcome.out
    outcome = run(*words, "--skip-bad")
    assert "--skip-bad is about masks that are given; add --masks PATH" in outcome.err


def test_masks_of_images_with_one_name_in_two_folders(run, model_folder):
    for camera, pixels in (("cam1", 40), ("cam2", 80)):
        save(Path(camera, "0001.png"), np.full((32, 40, 3), 90, np.uint8))
        mask = np.zeros((32, 40), np.uint8)
        mask.flat[:pixels] = 1
        save(Path("masks", camera, "0001.png"), mask)
    words = ("segment", "cam1/0001.png", "cam2/0001.png", "--vocab", "red, blue")
    outcome = run(*words, "--model", model_folder, "--masks", "masks", "--format", "coco")
    assert outcome.status == 0, outcome.err
    annotations = json.loads(Path("segmented/instances.json").read_text())["annotations"]
    assert sorted(entry["area"] for entry in annotations) == [40, 80]
    Path("masks/cam2").rename("masks/cam3")
    outcome = run(*words, "--model", model_folder, "--masks", "masks", "--format", "coco")
    assert outcome.status == 1 or outcome.status == 2
    assert "0001.png" in outcome.err
