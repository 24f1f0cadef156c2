"""What users get wrong: one clear line and a status, never a traceback; odd images just work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.storage.images import read_image
from tests.cli.conftest import Outcome, Run, save

FIT = ("--steps", 2, "--views", 1, "--shots", 2, "--size", 32, "--out", "new.safetensors")


def is_refused(outcome: Outcome, expected: str, *, status: int = 2) -> None:
    """Checks that a command failed with one line that matches `expected`."""
    assert outcome.status == status, outcome
    assert outcome.err.startswith("segtune: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert re.search(expected, outcome.err), outcome.err


@pytest.fixture
def own_labelled(labelled: Path, tmp_path: Path) -> Path:
    """A copy of the labelled folder, to be damaged."""
    return Path(shutil.copytree(labelled, tmp_path / "scenes"))


# -- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vocab", "expected"),
    [
        ("", "the word after --vocab is empty"),
        ("car, tree, Car", "names 'car' more than once"),
        ("car,, tree", "empty entry between two commas"),
        ("words.txt", "words.txt does not exist"),
        ("coco_81", "did you mean coco_80"),
        ("x" * 60, "is .* tokens long but tiny reads 24; use a shorter name"),
    ],
)
def test_words(run: Run, photos: Path, model_folder: str, vocab: str, expected: str) -> None:
    is_refused(run("segment", photos, "--vocab", vocab, "--model", model_folder), expected)


def test_no_words_at_all(run: Run, photos: Path) -> None:
    is_refused(run("segment", photos), 'type --vocab "road, car, tree"')


def test_a_word_that_is_class_and_negative(run: Run, photos: Path) -> None:
    outcome = run("segment", photos, "--vocab", "car, sky", "--not", "sky")
    is_refused(outcome, "'sky' is both a class and a negative")


def test_templates(run: Run, photos: Path, model_folder: str) -> None:
    words = ("segment", photos, "--vocab", "car", "--model", model_folder, "--templates")
    is_refused(run(*words, "singel"), "did you mean single")


# -- images and data ----------------------------------------------------------------------------


def test_missing_folders(run: Run, model_folder: str) -> None:
    is_refused(run("segment", "nowhere/", "--vocab", "car"), "image nowhere/ does not exist")
    is_refused(run("fit", "nowhere/", *FIT), "dataset nowhere does not exist")
    is_refused(run("evaluate", "nowhere/"), "dataset nowhere does not exist")


def test_layouts_and_splits(run: Run, labelled: Path, photos: Path) -> None:
    is_refused(run("evaluate", labelled, "--layout", "ade20"), "did you mean ade20k")
    is_refused(run("evaluate", photos), "is in no known layout")
    is_refused(run("evaluate", "synthetic:moon"), "no synthetic world 'moon'")
    is_refused(run("fit", "synthetic:base", "--split", "dev", *FIT), "no split 'dev'")


def test_a_folder_without_class_names(run: Run, own_labelled: Path) -> None:
    (own_labelled / "classes.txt").unlink()
    is_refused(run("evaluate", own_labelled), "pass --vocab")
    outcome = run("evaluate", own_labelled, "--vocab", "a")
    assert outcome.status == 2


def test_a_truncated_image(run: Run, photos: Path, own_labelled: Path, model_folder: str) -> None:
    image = photos / "a.png"
    image.write_bytes(image.read_bytes()[:200])
    outcome = run("segment", photos / "a.png", "--vocab", "car", "--model", model_folder)
    assert outcome.status == 1
    assert "a.png cannot be read" in outcome.err.splitlines()[0]
    image = own_labelled / "images" / "0.png"
    image.write_bytes(image.read_bytes()[:200])
    outcome = run("evaluate", own_labelled, "--model", model_folder)
    assert outcome.status == 1
    assert "0.png cannot be read" in outcome.err


def test_a_label_map_of_another_size(run: Run, own_labelled: Path, model_folder: str) -> None:
    for number in range(3):
        save(own_labelled / "labels" / f"{number}.png", np.zeros((20, 30), np.uint8))
    expected = "is 30x20 but its image .* is 64x64"
    is_refused(run("evaluate", own_labelled, "--model", model_folder), expected)
    is_refused(run("fit", own_labelled, *FIT, "--model", model_folder), expected)
    assert not Path("new.safetensors").exists()


def test_a_label_value_beyond_the_classes(run: Run, own_labelled: Path, model_folder: str) -> None:
    save(own_labelled / "labels" / "1.png", np.full((64, 64), 7, np.uint8))
    is_refused(run("evaluate", own_labelled, "--model", model_folder), "value 7, which is no class")


# -- models and prompts -------------------------------------------------------------------------


def test_models_that_are_none(run: Run, photos: Path, model_folder: str, tmp_path: Path) -> None:
    words = ("segment", photos, "--vocab", "car", "--model")
    is_refused(run(*words, "./nowhere"), "no model at .*nowhere")
    is_refused(run(*words, photos), "has no config.json")
    broken = Path(shutil.copytree(model_folder, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    is_refused(run(*words, broken), "model.safetensors is damaged")


def test_prompts_of_another_model(
    run: Run, photos: Path, prompt_file: Path, other_model_folder: str
) -> None:
    words = ("--prompts", prompt_file, "--model", other_model_folder)
    expected = r"learned on tiny \(\w+\) but the model is other"
    is_refused(run("segment", photos, *words), expected)
    is_refused(run("evaluate", "synthetic:jargon", *words), expected)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-50],
        lambda content: content[:6],
        lambda content: b"",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content.replace(b'"data_offsets"', b'"data_offzets"', 1),
        lambda content: content.replace(b'\\"system\\"', b'\\"sistem\\"', 1),
        lambda content: content.replace(b'\\"system\\":', b'\\"system\\" ', 1),
    ],
)
def test_damaged_prompt_files(run: Run, photos: Path, prompt_file: Path, damage) -> None:  # type: ignore[no-untyped-def]
    Path("p.safetensors").write_bytes(damage(prompt_file.read_bytes()))
    is_refused(run("segment", photos, "--prompts", "p.safetensors"), "p.safetensors")


def test_files_that_are_no_prompt_files(run: Run, photos: Path, model_folder: str) -> None:
    words = ("segment", photos, "--prompts")
    is_refused(run(*words, "none.safetensors"), "makes one")
    is_refused(run(*words, Path(model_folder) / "model.safetensors"), "not a prompt file")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("m2oe_rnk=3", "no option m2oe_rnk"),
        ("variant=papre", "no variant 'papre'"),
        ("m2oe_rank=many", "m2oe_rank"),
        ("layers=[1]", "layers"),
        ("lpm=d", "lpm"),
    ],
)
def test_options_of_a_system(
    run: Run, labelled: Path, model_folder: str, setting: str, expected: str
) -> None:
    outcome = run("fit", labelled, *FIT, "--model", model_folder, "--set", setting)
    is_refused(outcome, expected)


# -- full disks ---------------------------------------------------------------------------------


@contextmanager
def disk_of(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond `num_bytes`, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [50, 1000, 4000, 12_000])
def test_a_full_disk_leaves_the_old_prompt_file(
    run: Run, labelled: Path, model_folder: str, num_bytes: int
) -> None:
    out = Path("new.safetensors")
    out.write_text("old")
    words = ("fit", labelled, *FIT, "--model", model_folder, "--force")
    with disk_of(num_bytes):
        outcome = run(*words)
    is_refused(outcome, "File too large")
    assert out.read_text() == "old"
    left = {path.name for path in Path().iterdir()} - {"cache"}
    assert left <= {out.name, f"{out.name}.log.jsonl", f"{out.name}.checkpoint"}
    assert run(*words).status == 0  # goes on where there is room again


def test_a_full_disk_leaves_the_old_pictures(run: Run, photos: Path, model_folder: str) -> None:
    words = ("segment", photos, "--vocab", "star, grass", "--model", model_folder)
    assert run(*words).status == 0
    before = {path: path.read_bytes() for path in Path("segmented").rglob("*.png")}
    with disk_of(600):
        outcome = run(*words)
    is_refused(outcome, "cannot write segmented/overlays/a.png: File too large")
    assert {path: path.read_bytes() for path in Path("segmented").rglob("*.png")} == before


def test_outputs_that_cannot_be_written(run: Run, labelled: Path, photos: Path) -> None:
    Path("file").touch()
    is_refused(run("fit", labelled, "--out", "file/p.safetensors"), "file is a file, not a folder")
    is_refused(run("fit", labelled, "--out", photos), "is a folder; give a file name")


# -- images of every kind -----------------------------------------------------------------------


def _sixteen_bit(path: Path) -> None:
    Image.fromarray(np.linspace(0, 65535, 32 * 40).reshape(32, 40).astype(np.uint16)).save(path)


def _rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (32, 40), "green").save(path, exif=exif)


KINDS = {
    "sixteen.png": _sixteen_bit,
    "grey.png": lambda path: Image.new("L", (40, 32), 99).save(path),
    "binary.png": lambda path: Image.new("1", (40, 32), 1).save(path),
    "palette.gif": lambda path: Image.new("P", (40, 32), 3).save(path),
    "rgba.png": lambda path: Image.new("RGBA", (40, 32), (9, 9, 9, 128)).save(path),
    "cmyk.jpg": lambda path: Image.new("CMYK", (40, 32), (9, 9, 9, 9)).save(path),
    "rotated.jpg": _rotated,
    "one pixel.png": lambda path: Image.new("RGB", (1, 1), "red").save(path),
}


def test_images_of_every_kind(run: Run, model_folder: str) -> None:
    Path("in").mkdir()
    for name, write in KINDS.items():
        write(Path("in", name))
    outcome = run("segment", "in", "--vocab", "star, grass", "--model", model_folder)
    assert (outcome.status, outcome.err) == (0, "")
    for name in KINDS:
        labels = Image.open(Path("segmented/labels", name).with_suffix(".png"))
        assert labels.size == (read_image(Path("in", name)).shape[1::-1])
    assert Image.open("segmented/labels/rotated.png").size == (40, 32)


# -- long folders -------------------------------------------------------------------------------


def _bomb(path: Path) -> None:
    """A small file of a picture that has 400 megapixels."""
    Image.new("1", (20_000, 20_000)).save(path)


BAD_IMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no picture"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "huge": _bomb,
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_one_bad_image_does_not_end_a_long_run(
    run: Run, own_labelled: Path, model_folder: str, kind: str
) -> None:
    BAD_IMAGES[kind](own_labelled / "images" / "1.png")
    captions = own_labelled / "captions.jsonl"
    lines = [f'{{"image": "images/{i}.png", "caption": "a thing, ground"}}\n' for i in range(3)]
    captions.write_text("".join(lines))
    commands = {
        ("segment", own_labelled / "images", "--vocab", "star"): "segmented/labels/2.png",
        ("evaluate", own_labelled, "--json", "e.json"): "e.json",
        ("mine", own_labelled, "--caption-file", captions, "--out", "m.jsonl"): "m.stats.json",
    }
    for words, file in commands.items():
        outcome = run(*words, "--model", model_folder)
        assert outcome.status == 1, outcome
        listed, count = outcome.err.splitlines()
        assert "1.png" in listed
        assert re.search(r"1 of 3 (images|inputs)", count)
        assert Path(file).exists()
    assert '"num_images": 2' in Path("e.json").read_text()


def test_an_image_for_which_there_is_no_memory_is_not_tried(
    run: Run, photos: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # photos are of 32x45 and 48x32 pixels; a word of dense scores takes 65 bytes of each
    monkeypatch.setattr("segtune.predict.memory.free_memory", lambda: 32 * 46 * 65)
    outcome = run("segment", photos, "--vocab", "star", "--model", model_folder)
    assert outcome.status == 1
    assert "b.png has 32x48 pixels, for which semantic answers need about" in outcome.err
    assert [path.name for path in Path("segmented/labels").iterdir()] == ["a.png"]


def test_the_same_is_said_while_scoring_and_mining(
    run: Run, labelled: Path, model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"image": "images/0.png", "caption": "a thing on ground"}\n')
    monkeypatch.setattr("segtune.predict.memory.free_memory", lambda: 1)
    outcome = run("evaluate", labelled, "--model", model_folder)
    assert outcome.status == 2
    assert "for which semantic answers need about" in outcome.err
    words = (
        "mine",
        labelled,
        "--caption-file",
        f"{captions}?images={labelled}",
        "--out",
        "m.jsonl",
    )
    outcome = run(*words, "--model", model_folder)
    assert outcome.status == 1
    assert "for which region answers need about" in outcome.err


def test_memory_that_runs_out_on_the_way(
    run: Run, labelled: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segtune.predict.segmenter import Segmenter

    answer, calls = Segmenter.answer, iter(range(9))

    def failing(self: Segmenter, *args: object, **options: object) -> object:
        if next(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return answer(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "answer", failing)
    outcome = run("evaluate", labelled, "--model", model_folder)
    assert outcome.status == 1
    assert "there is not enough memory for it" in outcome.err
