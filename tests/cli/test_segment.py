import json
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cli.conftest import Run


def test_words_on_a_folder(run: Run, photos: Path, model_folder: str) -> None:
    outcome = run("segment", photos, "--vocab", "star, grass", "--model", model_folder)
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 classes in 2 images" in outcome.out
    assert "wrote segmented/vocabulary.json, segmented/overlays, segmented/labels" in outcome.out
    labels = Image.open("segmented/labels/b.png")
    assert labels.size == Image.open(photos / "b.png").size
    assert set(np.unique(np.asarray(labels))) <= {0, 1}
    assert Path("segmented/overlays/a.png").is_file()


def test_words_of_the_prompts_with_a_negative(
    run: Run, photos: Path, model_folder: str, prompt_file: Path
) -> None:
    outcome = run(
        *("segment", photos / "a.png", "--prompts", prompt_file, "--model", model_folder),
        *("--not", "thing2, sky", "--out", "out", "--size", 48, "--crop", 32),
    )
    assert (outcome.status, outcome.err) == (0, "")
    words = json.loads(Path("out/vocabulary.json").read_text())
    assert [entry["name"] for entry in words["classes"]] == ["ground", "thing"]
    assert words["negatives"] == ["thing2", "sky"]


def test_coco_and_panoptic_for_all_images(run: Run, photos: Path, model_folder: str) -> None:
    outcome = run(
        *("segment", f"{photos}/*.png", "--vocab", "star, grass", "--model", model_folder),
        *("--format", "coco,panoptic", "--templates", "name"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    things = json.loads(Path("segmented/instances.json").read_text())
    assert [image["file_name"] for image in things["images"]] == ["a.png", "b.png"]
    regions = json.loads(Path("segmented/panoptic.json").read_text())
    assert {entry["file_name"] for entry in regions["annotations"]} == {"a.png", "b.png"}
    assert Path("segmented/panoptic/b.png").is_file()
    assert not Path("segmented/overlays").exists()


def test_bad_images_among_good_ones_are_named_and_left_out(
    run: Run, photos: Path, model_folder: str
) -> None:
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:60])
    outcome = run(
        *("segment", photos, "missing.jpg", "--vocab", "star", "--model", model_folder),
    )
    assert outcome.status == 1
    lines = outcome.err.splitlines()
    assert lines[0] == "segtune: image missing.jpg does not exist; check the path"
    assert "broken.png" in lines[1]
    assert lines[2:] == ["segtune: 2 of 4 inputs could not be read"]
    assert "in 2 images" in outcome.out
    assert sorted(path.name for path in Path("segmented/labels").iterdir()) == ["a.png", "b.png"]
