"""`segtune segment` with a folder of Uni-OVSeg: words, clicks, everything."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segtune.backbones.uniovseg.files import save_uniovseg
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def uniovseg_folder(tmp_path_factory) -> str:
    text = replace(TINY.clip.text, vocab_size=600, context_length=64)
    model = random_uniovseg(replace(TINY, clip=replace(TINY.clip, text=text)))
    model.clip.tokenizer = train_tokenizer(
        ["a photo of a plain resistor."], vocab_size=600, context_length=64
    )
    return str(save_uniovseg(model, tmp_path_factory.mktemp("stage1")))


def test_words(run: Run, photos: Path, uniovseg_folder: str) -> None:
    outcome = run(
        *("segment", photos / "a.png", "--vocab", "star | sun, grass", "--model", uniovseg_folder),
        *("--system", "uniovseg-frozen", "--set", "min_iou=0", "--set", "grid=3"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "in 1 image" in outcome.out


def test_named_clicks(run: Run, photos: Path, uniovseg_folder: str) -> None:
    outcome = run(
        *("segment", photos / "a.png", "--points", "10,12", "--vocab", "star, grass"),
        *("--model", uniovseg_folder),
    )
    assert (outcome.status, outcome.err) == (0, "")
    words = json.loads(Path("segmented/vocabulary.json").read_text())
    assert [entry["name"] for entry in words["classes"]] == ["star", "grass"]


def test_everything(run: Run, photos: Path, uniovseg_folder: str) -> None:
    outcome = run("segment", photos, "--everything", "--model", uniovseg_folder)
    assert (outcome.status, outcome.err) == (0, "")
    assert "masks in 2 images" in outcome.out
    assert Path("segmented/instances.json").is_file()


@pytest.mark.parametrize("extra", [("--vocab", "star"), ("--task", "panoptic"), ("--set", "a=1")])
def test_everything_has_no_names(run: Run, photos: Path, extra: tuple[str, ...]) -> None:
    outcome = run("segment", photos, "--everything", *extra)
    assert outcome.status == 2
    assert "masks without names" in outcome.err
