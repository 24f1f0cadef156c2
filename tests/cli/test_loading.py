"""How commands open data, and what they print of it before they start."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from tests.cli.conftest import save


def test_evaluate_and_fit_say_what_they_see(run, labelled, model_folder, tmp_path):
    save(labelled / "images" / "alone.png", np.zeros((4, 4, 3), np.uint8))
    try:
        outcome = run("evaluate", labelled, "--model", model_folder)
        assert outcome.status == 0
        assert "scenes, all: 3 images\n1 left out, an image without a label map: alone.png\n" in (
            outcome.out
        )
        assert outcome.out.index("% of pixels: ") < outcome.out.index("mIoU")
        out = tmp_path / "x.safetensors"
        outcome = run(
            "fit",
            labelled,
            "--model",
            model_folder,
            "--out",
            out,
            "--steps",
            1,
            "--views",
            1,
            "--size",
            32,
            "--shots",
            1,
        )
        assert outcome.status == 0
        assert outcome.out.index("% of pixels: ") < outcome.out.index("learned")
    finally:
        (labelled / "images" / "alone.png").unlink()


def test_generated_data_is_not_looked_at(run, model_folder):
    outcome = run(
        "evaluate",
        "synthetic:base-15-5?length=1&size=64",
        "--model",
        model_folder,
        "--templates",
        "name",
    )
    assert outcome.status == 0
    assert "% of pixels" not in outcome.out


def test_binary_maps_are_asked_about_and_answered(run, model_folder, tmp_path):
    mask = np.zeros((32, 40), np.uint8)
    mask[8:20, 8:30] = 255
    for number in range(2):
        save(tmp_path / "d" / "images" / f"{number}.png", np.full((32, 40, 3), 90, np.uint8))
        save(tmp_path / "d" / "masks" / f"{number}.png", mask)
    (tmp_path / "d" / "classes.txt").write_text("background\nobject\n")
    words = ("evaluate", "d", "--model", model_folder)
    outcome = run(*words)
    assert outcome.status == 2
    assert "is 255 the foreground? then add --label-values '0=background,255=obj" in outcome.err
    for answer in (("--label-values", "0=background,255=object"), ("--ignore-value", "none")):
        outcome = run(*words, *answer)
        assert outcome.status == 0
        assert "% of pixels: background 79.4, object 20.6" in outcome.out
    outcome = run(*words, "--ignore-value", "255")
    assert "without a pixel: object" in outcome.out


def test_damage_is_left_out_and_listed(run, labelled, model_folder, tmp_path):
    for name in ("images", "labels"):
        for file in (labelled / name).iterdir():
            save(tmp_path / "d" / name / file.name, np.asarray(Image.open(file)))
    (tmp_path / "d" / "classes.txt").write_text("ground\nthing\n")
    (tmp_path / "d" / "labels" / "1.png").write_bytes(b"damaged")
    outcome = run("evaluate", "d", "--model", model_folder)
    assert outcome.status == 2
    assert "1.png is not a readable picture" in outcome.err
    outcome = run("evaluate", "d", "--model", model_folder, "--skip-bad", "--json", "r.json")
    assert outcome.status == 0
    assert (
        "2 images\n1 left out, damaged: label map d/labels/1.png is not a readable" in outcome.out
    )
    assert json.loads((tmp_path / "r.json").read_text())
