import json
import re
from pathlib import Path

import numpy as np
import pytest
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


def test_results_with_the_ids_of_the_truth(run: Run, photos: Path, model_folder: str) -> None:
    images = [{"id": 70 + i, "file_name": f"set/{name}.png"} for i, name in enumerate("ab")]
    categories = [{"id": 9, "name": "Grass"}, {"id": 4, "name": "star"}]
    Path("gt.json").write_text(json.dumps({"images": images, "categories": categories}))
    words = ("segment", photos, "--model", model_folder, "--templates", "name")
    formats = ("--format", "coco-results,coco", "--like", "gt.json")
    outcome = run(*words, *formats, "--vocab", "star, grass")
    assert (outcome.status, outcome.err) == (0, "")
    results = json.loads(Path("segmented/results.json").read_text())
    assert {entry["image_id"] for entry in results} <= {70, 71}
    assert {entry["category_id"] for entry in results} <= {4, 9}
    truth = json.loads(Path("segmented/instances.json").read_text())
    assert [category["id"] for category in truth["categories"]] == [4, 9]
    assert [image["file_name"] for image in truth["images"]] == ["set/a.png", "set/b.png"]
    outcome = run(*words, *formats, "--vocab", "star, moon")
    assert "'moon' is no category of gt.json" in outcome.err


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


# -- points and boxes ---------------------------------------------------------------------------


def test_points_in_all_formats(run: Run, photos: Path, seem_folder: str) -> None:
    outcome = run(
        *("segment", photos, "--points", "10,12; 30,5,- | 20,20", "--model", seem_folder),
        *("--size", 64, "--format", "overlay,png,coco,panoptic"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "masks in 2 images" in outcome.out
    words = json.loads(Path("segmented/vocabulary.json").read_text())
    assert [entry["name"] for entry in words["classes"]] == ["object"]
    things = json.loads(Path("segmented/instances.json").read_text())
    assert [image["file_name"] for image in things["images"]] == ["a.png", "b.png"]
    assert f"{len(things['annotations'])} masks" in outcome.out
    assert all(entry["area"] > 0 for entry in things["annotations"])
    regions = json.loads(Path("segmented/panoptic.json").read_text())
    for entry in regions["annotations"]:
        labels = np.asarray(Image.open(Path("segmented/labels", entry["file_name"])))
        assert set(np.unique(labels)) <= {0, 255}
        painted = sum(segment["area"] for segment in entry["segments_info"])
        assert (labels == 0).sum() == painted
    assert Path("segmented/overlays/b.png").is_file()


def test_boxes_of_a_file_named_by_words(run: Run, photos: Path, seem_folder: str) -> None:
    Path("boxes.json").write_text(json.dumps({"b.png": [[2, 2, 20, 30], [5, 20, 32, 48]]}))
    outcome = run(
        *("segment", photos, "--boxes", "boxes.json", "--model", seem_folder, "--size", 64),
        *("--vocab", "star, grass", "--not", "sky"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "1 of 2 images left out: no boxes in boxes.json" in outcome.out
    things = json.loads(Path("segmented/instances.json").read_text())
    assert [entry["name"] for entry in things["categories"]] == ["star", "grass"]
    assert [image["file_name"] for image in things["images"]] == ["b.png"]
    assert [path.name for path in Path("segmented/overlays").iterdir()] == ["b.png"]


def test_the_least_score(run: Run, photos: Path, seem_folder: str) -> None:
    words = ("segment", photos / "a.png", "--model", seem_folder, "--size", 64, "--format", "coco")
    asked = ("--vocab", "star, grass", "--task", "instance")
    counts = []
    for least in (0, 0.2, 1):
        for what in (asked, ("--points", "10,12 | 20,20")):
            assert run(*words, *what, "--min-score", least).status == 0
            content = json.loads(Path("segmented/instances.json").read_text())
            counts.append(len(content["annotations"]))
    assert counts[0] >= counts[2] >= counts[4] == 0
    assert counts[1] >= counts[3] >= counts[5] == 0
    assert counts[0] > 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--points", "10,90"), r"a.png: point \(10, 90\) lies outside of the image of 40x32"),
        (("--points", "10,9 | 50,9"), r"point \(50, 9\) lies outside"),
        (("--boxes", "0,0,41,20"), "reaches outside of the image of 40x32"),
        (("--boxes", "9,9,3,20"), "has no area"),
        (("--points", "10"), "--points '10' is not understood"),
        (("--points", "1,2,-"), "without a positive point"),
        (("--points", "none.json"), "none.json does not exist"),
        (("--points", "1,2", "--boxes", "1,2,3,4"), "not allowed with argument"),
        (("--points", "1,2", "--task", "instance"), "leave --task and --crop out"),
        (("--points", "1,2", "--crop", "32"), "leave --task and --crop out"),
        (("--points", "1,2", "--not", "sky"), "no words to look for"),
        (
            ("--points", "1,2"),
            "tiny takes no points or boxes; choose a SEEM, SAM, SAM 2 or Uni-OVSeg",
        ),
        (("--vocab", "star", "--min-score", "0.5"), "add --task instance or panoptic"),
        (("--vocab", "star", "--min-score", "2"), "'2' is not a number from 0 to 1"),
    ],
)
def test_what_does_not_fit(
    run: Run, photos: Path, model_folder: str, words: tuple[str, ...], expected: str
) -> None:
    outcome = run("segment", photos / "a.png", "--model", model_folder, *words)
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert re.search(expected, outcome.err), outcome.err


def test_a_file_without_the_image(run: Run, photos: Path) -> None:
    Path("p.json").write_text(json.dumps({"c.png": [[1, 2, 1]]}))
    outcome = run("segment", photos / "a.png", "--points", "p.json")
    assert (outcome.status, outcome.err) == (
        2,
        "segtune: p.json has no points for a.png; its names are c.png\n",
    )
