"""Bad command lines, judged by one rule: refused at once, in one line, with nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run, save

SECONDS = 5
LONGEST_LINE = 300
HUGE, ESCAPE, SURROGATE = "9" * 400, "\x1b[2J\x1b]0;x\x07", "\udcff"

NO_COUNT = ("0", "-1", "x", "1.5", "", HUGE + "x", "nan")
NO_NUMBER_ABOVE_0 = ("0", "-1e-3", "fast", "nan", "inf", "")
NO_SHARE = ("1.1", "-0.1", "half", "nan", "")
NO_SETTING = ("lr", "=1", " = ", "a=[", "a={b: ", "a=&a [*a, *a]", "a=" + "[" * 3000)
NO_WORDS = ("", ",", "a,,b", "a, a", "a|", "|", "none.txt", "none.json", "coco_81", "empty.txt")
NO_WORDS += ("empty.json", "broken.json", "broken.yaml", "aliases.yaml", "deep.json", "binary.txt")
NO_MODEL = ("./none", "photos", "empty.pt", "text.pt", "code.pt", "empty_folder", "broken_model")
NO_MODEL += ("no/such/hub/name", "clip-vit-tiny+", "+", "photos/a.png", "", ESCAPE)
NO_PROMPTS = ("none.safetensors", "photos", "empty.pt", "text.pt", "empty.safetensors", "deep.json")
NO_DATA = ("none", "", "photos", "empty.json", "broken.json", "deep.json", "empty_folder", ESCAPE)
NO_DATA += ("synthetic:", "synthetic:moon", "synthetic:base?size=x", "synthetic:base?size=0")
NO_DATA += ("synthetic:base?length=-1", "synthetic:base?speed=1", "scenes?speed=1", "photos/a.png")
NO_DATA += ("synthetic:base?size=" + HUGE, "synthetic:base?seed=x", "empty.jsonl", "broken.jsonl")
NO_FILE = ("photos", "text.pt/x", "dead/x", ESCAPE, "x" * 300, "")
NO_TEMPLATES = ("singel", "no braces", "", "none.txt", "a {} and {}", "empty.txt")

SEGMENT = ("segment", "photos", "--vocab", "star, grass")
FIT = ("fit", "scenes", "--out", "new.safetensors", "--steps", "2", "--views", "1", "--shots", "2")
EVALUATE = ("evaluate", "scenes")
MINE = ("mine", "scenes", "--caption-file", "captions.jsonl", "--out", "new.jsonl")
TRAIN = ("train", "good.yaml")


def _with(base: tuple[str, ...], option: str, values: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(*base, option, value) for value in values]


CASES: list[tuple[str, ...]] = [
    # the program itself
    *[(word,) for word in ("segmnt", "--hepl", "-x", "", ESCAPE, SURROGATE, "x" * 5000, "fit\n")],
    *[(name, "--no-such") for name in ("segment", "fit", "evaluate", "train", "mine", "demo")],
    *[(name, "--no-such") for name in ("models", "systems", "datasets", "vocabularies", "doctor")],
    *[(name, "extra", "words") for name in ("models", "systems", "datasets", "doctor", "demo")],
    *[(name,) for name in ("segment", "fit", "evaluate", "train", "mine")],
    *[("systems", name) for name in ("rpm", "", ESCAPE, SURROGATE)],
    *[("vocabularies", name) for name in ("cityscapes_18", "", ESCAPE, "none.txt", "coco156-15:x")],
    # segment
    *[("segment", name, "--vocab", "a") for name in ("none", "none/*.png", "empty_folder", "")],
    *[("segment", name, "--vocab", "a") for name in (ESCAPE, SURROGATE, "x" * 5000, "[")],
    ("segment", "photos"),
    ("segment", "photos", "--not", "sky"),
    ("segment", "photos", "--vocab", "sky", "--not", "sky"),
    *_with(("segment", "photos"), "--vocab", NO_WORDS),
    *_with(SEGMENT, "--not", ("", ",", "a,,b", "star")),
    *_with(SEGMENT, "--task", ("all", "", "Semantic")),
    *_with(SEGMENT, "--format", ("", ",", "gif", "png,gif")),
    *_with(SEGMENT, "--min-score", (*NO_SHARE, "0.5")),
    *_with(SEGMENT, "--size", NO_COUNT),
    *_with(SEGMENT, "--crop", NO_COUNT),
    *_with(SEGMENT, "--model", NO_MODEL),
    *_with(SEGMENT, "--prompts", NO_PROMPTS),
    *_with(SEGMENT, "--templates", NO_TEMPLATES),
    *_with(SEGMENT, "--system", ("rpn", "zegcilp", "")),
    *_with(SEGMENT, "--set", (*NO_SETTING, "nothing=1")),
    *_with(SEGMENT, "--out", ("text.pt", "text.pt/x", "dead/x", ESCAPE, "x" * 300)),
    ("segment", "results/overlays/a.png", "--vocab", "star", "--out", "results"),
    ("segment", "photos/a.png", "--vocab", "star", "--out", "foreign"),
    *_with(("segment", "photos/a.png"), "--points", ("", "1", "1,2,3,4", "a,b", "900,2", "1,nan")),
    *_with(("segment", "photos/a.png"), "--points", ("none.json", "empty.json", "broken.json")),
    *_with(("segment", "photos/a.png"), "--points", ("deep.json", "-1,2", HUGE + ",1", "|", ";")),
    *_with(("segment", "photos/a.png"), "--boxes", ("", "1,2,3", "5,5,1,1", "a", "1,2,900,4")),
    *_with(("segment", "photos/a.png"), "--boxes", ("none.json", "empty.json", "deep.json", "nan")),
    *_with(("segment", "photos/a.png", "--vocab", "a"), "--masks", ("none", "empty.json")),
    *_with(("segment", "photos/a.png", "--vocab", "a"), "--masks", ("empty_folder", "broken.json")),
    *_with(("segment", "photos/a.png", "--vocab", "a"), "--masks", ("deep.json", "empty.npy")),
    *_with(("segment", "photos/a.png", "--vocab", "a"), "--masks", ("text.pt", "")),
    (*SEGMENT, "--skip-empty"),
    (*SEGMENT, "--skip-bad"),
    (*SEGMENT, "--points", "1,2", "--boxes", "1,2,3,4"),
    (*SEGMENT, "--points", "1,2", "--task", "instance"),
    (*SEGMENT, "--points", "1,2", "--crop", "32"),
    (*SEGMENT, "--points", "1,2", "--system", "zegclip"),
    (*SEGMENT, "--masks", "photos", "--size", "32"),
    (*SEGMENT, "--task", "instance", "--format", "png"),
    # fit
    *[("fit", data, "--out", "new.safetensors") for data in NO_DATA],
    *[("fit", "scenes", "--out", out) for out in (*NO_FILE, "old.safetensors", "classes.txt")],
    *_with(FIT, "--steps", NO_COUNT),
    *_with(FIT, "--batch", NO_COUNT),
    *_with(FIT, "--views", ("-1", "x", "1.5")),
    *_with(FIT, "--shots", (*NO_COUNT, "99")),
    *_with(FIT, "--lr", NO_NUMBER_ABOVE_0),
    *_with(FIT, "--seed", ("x", "1.5", "", HUGE, "-1")),
    *_with(FIT, "--size", ("0", "x")),
    *_with(FIT, "--crop", ("0", "x")),
    *_with(FIT, "--system", ("rpm", "")),
    *_with(FIT, "--setting", ("best", "inductive", "transductive")),
    *_with(FIT, "--shots-by", ("pixel", "")),
    *_with(FIT, "--set", (*NO_SETTING, "nothing=1", "variant=7", "variant=[1]")),
    *_with(FIT, "--retention", ("-1", "x", "1.5")),
    (*FIT, "--retention", "2", "--retention-data", "none"),
    (*FIT, "--retention", "2", "--retention-data", "synthetic:moon"),
    *_with(FIT, "--split", ("dev", "", "val")),
    *_with(FIT, "--layout", ("ade20", "", "cityscapes", "coco_instances")),
    *_with(FIT, "--vocab", ("a", "none.txt", "", "a,,b")),
    *_with(FIT, "--label-values", ("", "0", "a=b", "0=a,0=b", "x=", HUGE + "=a")),
    *_with(FIT, "--ignore-value", ("", "x", "-1", "1.5")),
    *_with(FIT, "--model", NO_MODEL),
    *_with(FIT, "--templates", NO_TEMPLATES),
    (*FIT, "--all"),
    ("fit", "scenes"),
    # evaluate
    *[("evaluate", data) for data in NO_DATA],
    *_with(EVALUATE, "--task", ("all", "", "instance-seg")),
    *_with(EVALUATE, "--protocol", ("A-151", "", ESCAPE, "voc15-6")),
    *_with(EVALUATE, "--names", ("joined", "readable", "a", "none.txt")),
    *_with(EVALUATE, "--limit", NO_COUNT),
    *_with(EVALUATE, "--json", (*NO_FILE, "old.json")),
    *_with(EVALUATE, "--csv", (*NO_FILE, "old.csv")),
    *_with(EVALUATE, "--html", (*NO_FILE, "old.html")),
    (*EVALUATE, "--json", "new.x", "--csv", "new.x"),
    *_with(EVALUATE, "--retention", ("-1", "x", "3")),
    *_with(EVALUATE, "--prompts", NO_PROMPTS),
    *_with(EVALUATE, "--model", NO_MODEL),
    *_with(EVALUATE, "--min-score", (*NO_SHARE, "0.5")),
    *_with(EVALUATE, "--split", ("dev", "")),
    *_with(EVALUATE, "--layout", ("ade20", "camvid")),
    *_with(EVALUATE, "--set", (*NO_SETTING, "nothing=1")),
    *_with(EVALUATE, "--templates", NO_TEMPLATES),
    # mine
    *[("mine", data, "--out", "new.jsonl") for data in NO_DATA],
    *[(*MINE[:4], "--out", out) for out in (*NO_FILE, "old.jsonl", "pairs.png")],
    (*MINE[:4], "--out", "photo.jsonl"),
    (*MINE[:4], "--out", "held.jsonl"),
    ("mine", "captions.jsonl", "--out", "captions.jsonl", "--force"),
    *_with(MINE, "--masks", ("none", "clip-vit-tiny", "", "photos")),
    *_with(MINE, "--mask-size", NO_COUNT),
    *_with(MINE, "--mask-threshold", NO_SHARE),
    *_with(MINE, "--min-area", NO_SHARE),
    *_with(MINE, "--regions", ("box", "")),
    *_with(MINE, "--captions", ("0", "x", "-1", "every")),
    *_with(MINE, "--nouns", ("rule", "", "jsonl")),
    *_with(MINE, "--lexicon", ("", "none.txt", "a,,b", "coco_81")),
    *_with(MINE, "--caption-file", ("none.jsonl", "empty.jsonl", "broken.jsonl", "scenes")),
    *_with(MINE, "--set", (*NO_SETTING, "nothing=1", "key=secret")),
    *_with(MINE, "--workers", ("0", "x")),
    *_with(MINE, "--wording", ("word",)),
    *_with(MINE, "--format", ("csv", "")),
    *_with(MINE, "--model", NO_MODEL),
    ("mine", "scenes", "--out", "new.jsonl"),
    # train
    *[("train", recipe) for recipe in ("none.yaml", "photos", "empty.txt", "broken.yaml", "")],
    *[("train", recipe) for recipe in ("aliases.yaml", "deep.json", "binary.txt", "list.yaml")],
    *_with(TRAIN, "--set", (*NO_SETTING, "nothing=1", "system=rpm", "system=7", "data=none")),
    *_with(
        TRAIN, "--set", ("fit.loop.steps=x", "fit.loop=3", "seed=x", "seed.x=1", "model=./none")
    ),
    *_with(TRAIN, "--set", ("options.nothing=1", "options=7", "shots=0", "shots=99", "split=dev")),
    *_with(TRAIN, "--set", ("precision=fp8", "templates=singel", "protocol=voc15-6", "layout=x")),
    *_with(TRAIN, "--set", ("fit.loop.lr=.nan", "fit.loop.lr=-1", "fit.batch=0", "fit.views=-1")),
    *_with(TRAIN, "--set", ("evaluate.data=none", "evaluate.split=dev", "evaluate.select=best")),
    *_with(
        TRAIN, "--set", ("evaluate.limit=0", "evaluate.every=-1", "fit.loop.steps=0", "seed=-1")
    ),
    *_with(TRAIN, "--out", ("text.pt", "text.pt/x", "dead/x", "photos", ESCAPE, "x" * 300)),
    # demo
    *_with(("demo", "--quick"), "--out", ("text.pt", "text.pt/x", "dead/x", "foreign_demo")),
    *_with(("demo", "--quick"), "--seed", ("x", "1.5", HUGE, "-1")),
    *_with(("demo", "--quick"), "--model", NO_MODEL),
]


@pytest.fixture(scope="module")
def yard(
    tmp_path_factory: pytest.TempPathFactory, labelled: Path, model_folder: str, prompt_file: Path
) -> Path:
    """A folder with everything that bad command lines name."""
    yard = tmp_path_factory.mktemp("yard")
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/b.png", "results/overlays/a.png"):
        save(yard / name, rng.integers(0, 256, (32, 40, 3), dtype=np.uint8))
    shutil.copytree(labelled, yard / "scenes")
    lines = [{"image": f"images/{i}.png", "caption": "a thing on the ground"} for i in range(3)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (yard / "captions.jsonl").write_text(text.replace("images/", "scenes/images/"))
    for name in ("photo.png", "pairs.png", "foreign/overlays/a.png", "foreign/labels/a.png"):
        save(yard / name, np.zeros((8, 8, 3), np.uint8))
    for name in ("empty.pt", "empty.json", "empty.txt", "empty.npy", "empty.safetensors"):
        (yard / name).touch()
    for name in ("old.json", "old.csv", "old.html", "old.jsonl", "text.pt", "held.stats.json"):
        (yard / name).write_text("precious")
    (yard / "foreign_demo").mkdir()
    (yard / "foreign_demo" / "report.html").write_text("precious")
    (yard / "held.jsonl.part").write_text("precious without a newline")
    (yard / "empty.jsonl").touch()
    (yard / "broken.jsonl").write_text('{"image": "photos/a.png", "captions": 7}\n')
    (yard / "broken.json").write_text('{"classes": [1, ')
    (yard / "broken.yaml").write_text("system: [rpn\n")
    (yard / "list.yaml").write_text("- rpn\n")
    (yard / "aliases.yaml").write_text(_aliases())
    (yard / "deep.json").write_text("[" * 20_000)
    (yard / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    (yard / "classes.txt").write_text("ground\nthing\n")
    (yard / "code.pt").write_bytes(b"\x80\x04c__builtin__\neval\n.")
    (yard / "empty_folder").mkdir()
    (yard / "broken_model").mkdir()
    (yard / "broken_model" / "config.json").write_text('{"model_type": 7}')
    (yard / "dead").symlink_to(yard / "nowhere")
    shutil.copy(prompt_file, yard / "old.safetensors")
    (yard / "good.yaml").write_text(
        f"system: rpn\ndata: scenes\nsplit: all\nmodel: {model_folder}\nshots: 2\n"
        "fit: {views: 1, short_side: 32, loop: {steps: 1}}\nevaluate: {split: all, data: scenes}\n"
    )
    return yard


def _aliases() -> str:
    """A small file that holds a billion words."""
    rows = ["a0: &a0 [word, word, word, word, word, word, word, word, word, word]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join((*rows, "system: rpn", "classes: *a9", ""))


@pytest.fixture(autouse=True)
def _in_the_yard(yard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(yard)


def test_there_are_enough_of_them() -> None:
    assert len(set(CASES)) == len(CASES) >= 300


@pytest.mark.parametrize("words", CASES, ids=lambda words: ascii(" ".join(words))[1:70])
def test_is_refused(run: Run, yard: Path, words: tuple[str, ...]) -> None:
    before = dict(_listing(yard))
    began = time.perf_counter()
    outcome = run(*words)
    seconds = time.perf_counter() - began
    assert outcome.status not in (0, 70), outcome
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("segtune: ")
    assert len(lines[0]) <= LONGEST_LINE
    assert lines[0].isprintable()
    assert "Traceback" not in outcome.out + outcome.err
    assert dict(_listing(yard)) == before, "something was left behind or changed"
    assert seconds < SECONDS


def _listing(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields path -> size and time of last change of everything below a folder."""
    for entry in os.scandir(folder):
        stat = entry.stat(follow_symlinks=False)
        is_folder = entry.is_dir(follow_symlinks=False)
        yield entry.path, (0, 0) if is_folder else (stat.st_size, stat.st_mtime_ns)
        if is_folder:
            yield from _listing(Path(entry.path))


def test_pictures_are_whole(yard: Path) -> None:
    assert Image.open(yard / "photo.png").size == (8, 8)
