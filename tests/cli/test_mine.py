"""`segtune mine` as typed, and what a kill in the middle does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segtune.backbones.maskformer.files import save_maskformer
from segtune.backbones.maskformer.random import random_maskformer
from segtune.data.pairs import read_pairs
from tests.cli.conftest import Run, save

WORLD = "synthetic:base-15-5?size=64&length=6"
"""Its longest names with the default sentence are too long for the tiny model; "name" is not."""


@pytest.fixture
def captioned(photos: Path) -> Path:
    """A file of captions for two images without labels."""
    lines = [
        {"image": "photos/a.png", "captions": ["A red star on grass.", "Two stars."]},
        {"image": "photos/b.png", "captions": ["A picture of water."]},
    ]
    file = photos.parent / "captions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_pairs_statistics_and_a_sheet(run: Run, model_folder: str) -> None:
    words = ["--model", model_folder, "--templates", "name"]
    outcome = run("mine", WORLD, "--out", "new/pairs.jsonl", *words)
    assert outcome.status == 0, outcome.err
    pairs = list(read_pairs("new/pairs.jsonl"))
    assert pairs
    assert {pair.source for pair in pairs} == {"ground-truth"}
    statistics = json.loads(Path("new/pairs.stats.json").read_text())
    assert statistics["pairs"] == len(pairs)
    assert statistics["precision"]["judged"] == len(pairs)
    assert statistics["command"].startswith("segtune mine 'synthetic:base-15-5")
    assert sorted(path.name for path in Path("new").iterdir()) == [
        "pairs.jsonl",
        "pairs.png",
        "pairs.stats.json",
    ]
    for name in ("pairs.jsonl", "pairs.png", "pairs.stats.json"):
        assert f"wrote new/{name}" in outcome.out
    assert "right, % of judged pairs" in outcome.out


def test_nouns_by_rules_of_all_captions(run: Run, model_folder: str) -> None:
    model = ["--model", model_folder, "--templates", "name"]
    words = ["--nouns", "rules", "--captions", "all", "--drop-generic", *model]
    assert run("mine", WORLD + "&captions=5", "--out", "a.jsonl", *words).status == 0
    pairs = list(read_pairs("a.jsonl"))
    assert {pair.caption for pair in pairs} - {0}
    assert "picture" not in {pair.noun for pair in pairs}
    outcome = run("mine", WORLD, "--out", "a.jsonl", *model)
    assert (outcome.status, "add --force to replace it" in outcome.err) == (2, True)
    assert run("mine", WORLD, "--out", "a.jsonl", "--force", *model).status == 0


def test_nouns_that_are_too_long_for_the_text_tower_are_left_out(
    run: Run, labelled: Path, model_folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    long = "extraordinary" * 3
    said = {"image": "images/0.png", "captions": [f"a {long} on the ground"]}
    Path("said.jsonl").write_text(json.dumps(said) + "\n")
    words = ["--caption-file", f"said.jsonl?images={labelled}", "--nouns", "rules"]
    outcome = run("mine", labelled, *words, "--model", model_folder, "--out", "a.jsonl")
    assert outcome.status == 0
    assert [pair.text for pair in read_pairs("a.jsonl")] == ["ground"]
    assert f"{long!r} is longer than tiny reads and is left out" in caplog.text


def test_captions_for_labelled_images(run: Run, labelled: Path, model_folder: str) -> None:
    said = [{"image": f"images/{i}.png", "caption": "things on the ground"} for i in (0, 2)]
    file = Path("said.jsonl")
    file.write_text("".join(json.dumps(line) + "\n" for line in said))
    words = [labelled, "--caption-file", f"said.jsonl?images={labelled}", "--model", model_folder]
    outcome = run("mine", *words, "--out", "a.jsonl")
    assert outcome.status == 0, outcome.err
    found = [(pair.id, pair.text, Path(pair.image).name) for pair in read_pairs("a.jsonl")]
    assert found == [
        ("0", "thing", "0.png"),
        ("0", "ground", "0.png"),
        ("2", "thing", "2.png"),
        ("2", "ground", "2.png"),
    ]


def test_masks_of_a_model(run: Run, captioned: Path, model_folder: str, tmp_path: Path) -> None:
    folder = save_maskformer(random_maskformer(), tmp_path / "proposals")
    words = ["--nouns", "rules", "--masks", folder, "--mask-size", "64", "--model", model_folder]
    outcome = run("mine", captioned, "--out", "a.jsonl", "--captions", "all", *words)
    assert outcome.status == 0, outcome.err
    pairs = list(read_pairs("a.jsonl"))
    found = [(pair.id, pair.text, pair.caption) for pair in pairs]
    assert found == [
        ("a", "star", 0),
        ("a", "grass", 0),
        ("b", "picture", 0),
        ("b", "water", 0),
    ]
    assert {pair.source for pair in pairs} == {"tiny-maskformer"}
    assert [pair.size for pair in pairs] == [(32, 40)] * 2 + [(48, 32)] * 2
    assert all(pair.mask().any() for pair in pairs)
    assert "judged" not in outcome.out


def test_no_pairs_are_no_mistake(run: Run, model_folder: str) -> None:
    words = ["--lexicon", "unicorn", "--model", model_folder]
    outcome = run("mine", WORLD, "--out", "a.jsonl", *words)
    assert outcome.status == 0
    assert Path("a.jsonl").read_text() == ""
    assert not Path("a.png").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "has no masks; name a model that proposes them with --masks M"),
        (["--masks", "MODEL"], "names no classes for the lexicon; add --lexicon WORDS"),
        (["--masks", "MODEL", "--nouns", "rules"], "masks come from one of: text-maskformer"),
        (["--masks", "MODEL", "--nouns", "rule"], "'rule' is not a noun backend"),
        (["--masks", "MODEL", "--nouns", "jsonl"], "jsonl needs file; add file=VALUE"),
        (["--masks", "MODEL", "--nouns", "rules", "--mask-threshold", "2"], "'2' is not a number"),
        (["--masks", "MODEL", "--nouns", "llm", "--set", "key=k"], "set OPENAI_API_KEY instead"),
        (["--masks", "MODEL", "--captions", "0"], "'0' is not a whole number from 1 on"),
        (["--layout", "camvid"], "has no images in the folders where this layout keeps them"),
    ],
)
def test_mistakes_give_one_line(
    run: Run, captioned: Path, model_folder: str, words: list[str], expected: str
) -> None:
    words = [model_folder if word == "MODEL" else word for word in words]
    outcome = run("mine", captioned, "--out", "a.jsonl", "--model", model_folder, *words)
    assert outcome.status == 2
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("a.jsonl").exists()


def test_data_without_captions_and_models_without_words(
    run: Run, labelled: Path, seem_folder: str, photos: Path
) -> None:
    outcome = run("mine", labelled, "--out", "a.jsonl")
    assert "has no captions; add --caption-file FILE" in outcome.err
    outcome = run("mine", labelled, "--caption-file", labelled, "--out", "a.jsonl")
    assert "is no file of captions" in outcome.err
    outcome = run("mine", WORLD, "--model", seem_folder, "--out", "a.jsonl")
    assert "is no CLIP with a ViT image tower" in outcome.err
    outcome = run("mine", WORLD, "--out", photos)
    assert "is a folder; give a file name" in outcome.err


def test_what_is_in_the_way_of_the_shards_is_left_alone(run: Run, model_folder: str) -> None:
    Path("a.jsonl.part").write_text("mine")
    outcome = run("mine", WORLD, "--out", "a.jsonl", "--model", model_folder)
    assert outcome.status == 2
    assert "a.jsonl.part is in the way and no unfinished run" in outcome.err
    assert Path("a.jsonl.part").read_text() == "mine"


@pytest.mark.slow
def test_kill_in_the_middle_and_run_again_gives_the_same_file(
    tmp_path: Path, model_folder: str
) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(24):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        save(tmp_path / "scenes" / "images" / f"{i:02d}.png", pixels)
        labels = np.repeat(np.arange(4, dtype=np.uint8), 16)[None].repeat(48, 0)
        save(tmp_path / "scenes" / "labels" / f"{i:02d}.png", labels)
        lines.append({"image": f"images/{i:02d}.png", "caption": f"a dog, a cat and cow {i}"})
    (tmp_path / "scenes" / "classes.txt").write_text("dog\ncat\ncow\nsky\n")
    said = tmp_path / "scenes" / "captions.jsonl"
    said.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def command(out: str) -> subprocess.Popen[bytes]:
        words = ["mine", "scenes", "--caption-file", str(said), "--out", out, "--no-cache"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "segtune", *words, "--model", model_folder],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )

    assert command("whole.jsonl").wait(300) == 0
    log = tmp_path / "killed.jsonl.part"
    kills = 0
    while not (tmp_path / "killed.jsonl").exists():
        process = command("killed.jsonl")
        before = len(list(log.rglob("*.parquet")))
        while process.poll() is None and kills < 1:
            if len(list(log.rglob("*.parquet"))) > before:  # a few images further
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.wait(300)
    assert kills
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not log.exists()
