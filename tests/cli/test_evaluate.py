import csv
import json
from pathlib import Path

import numpy as np
import pytest

import segtune
from segtune.data.protocols import open_for
from segtune.types import Resolution
from tests.cli.conftest import Run
from tests.data import trees
from tests.data.lvis_ow.sources import coco_val, lvis_val


def test_zero_shot_alone(run: Run, labelled: Path, model_folder: str) -> None:
    outcome = run("evaluate", labelled, "--model", model_folder, "--limit", 2)
    assert (outcome.status, outcome.err) == (0, "")
    assert "scenes, all: 2 images, 2 classes, templates single, short side 32" in outcome.out
    assert "zero-shot" in outcome.out
    assert "ground" in outcome.out


def test_both_rows_retention_and_reports(
    run: Run, labelled: Path, model_folder: str, prompt_file: Path
) -> None:
    outcome = run(
        *("evaluate", labelled, "--model", model_folder, "--prompts", prompt_file),
        *("--retention", 1, "--retention-data", labelled),
        *("--json", "r/r.json", "--csv", "r/r.csv", "--html", "r/r.html"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "rpn, 2 shots" in outcome.out
    assert f"retention: {labelled}" in outcome.out
    report = json.loads(Path("r/r.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["zero-shot", "rpn, 2 shots"]
    assert report["rows"][1]["protocol"]["num_images"] == 3
    assert report["retention"]["before"].keys() == report["retention"]["after"].keys()
    assert report["command"].startswith("segtune evaluate ")
    with Path("r/r.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["ground", "thing"]
    page = Path("r/r.html").read_text()
    assert page.count("<figure>") == 3 * 4
    assert "http" not in page


def test_seen_and_unseen_columns(run: Run, model_folder: str) -> None:
    outcome = run(
        *("evaluate", "synthetic:base-15-5?size=64&length=2", "--model", model_folder),
        *("--templates", "{}"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert all(column in outcome.out for column in ("pAcc", "mIoU(S)", "mIoU(U)", "hIoU"))
    assert "best and worst" in outcome.out


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("instance", ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100")),
        ("federated", ("AP", "AP50", "APs", "AR@300")),
        ("panoptic", ("PQ", "SQ", "RQ", "PQth", "SQth", "RQth", "PQst", "SQst", "RQst")),
        ("promptable", ("1-click IoU", "1-box IoU")),
        ("open-world", ("AR@100", "AR@10", "ARs@100", "AR@100(seen)")),
        ("class-agnostic", ("AR@100", "AP", "AR@100(seen)", "AR@100(seen, others out)")),
    ],
)
def test_other_tasks(run: Run, seem_folder: str, task: str, columns: tuple[str, ...]) -> None:
    outcome = run(
        *("evaluate", "synthetic:jargon?size=64&length=2", "--task", task, "--model", seem_folder),
        *("--size", 64, "--templates", "{}"),
        *("--json", "r/r.json", "--csv", "r/r.csv", "--html", "r/r.html"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert f"task {task}, 2 images" in outcome.out
    assert all(column in outcome.out for column in columns)
    report = json.loads(Path("r/r.json").read_text())
    assert set(columns) <= set(report["rows"][0]["summary"])
    assert report["rows"][0]["task"] == task
    if task == "panoptic":
        assert report["rows"][0]["summary"]["PQst"] is not None
    with Path("r/r.csv").open() as file:
        has_column = f"zero-shot {columns[0]}" in next(csv.reader(file))
    assert has_column == (task != "class-agnostic")
    assert Path("r/r.html").read_text().count("<figure>") == 2 * 3


def test_prompts_of_a_task(run: Run, seem_folder: str) -> None:
    words = ("--model", seem_folder, "--size", 64)
    fit = ("--steps", 2, "--batch", 1, "--shots", 1, "--system", "ssprompt", "--task", "instance")
    outcome = run("fit", "synthetic:jargon?size=64", *words, *fit, "--out", "p.safetensors")
    assert (outcome.status, outcome.err) == (0, "")
    outcome = run(
        *("evaluate", "synthetic:jargon?size=64&length=1", *words, "--prompts", "p.safetensors"),
        *("--task", "instance", "--min-score", 0.1, "--retention", 1),
        *("--retention-data", "synthetic:base?size=64"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "ssprompt, 1 shots" in outcome.out
    assert "retention: synthetic:base" in outcome.out


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    """VOC and ADE20K full below one folder."""
    trees.voc(tmp_path / "datasets" / "VOCdevkit" / "VOC2012")
    trees.ade20k_full(tmp_path / "datasets" / "ADE20K_2021_17_01")
    return tmp_path / "datasets"


def test_a_benchmark_whose_words_are_not_its_classes(
    run: Run, datasets: Path, model_folder: str
) -> None:
    outcome = run(
        *("evaluate", datasets, "--protocol", "pas20b", "--model", model_folder, "--size", 32),
        *("--templates", "{}", "--json", "r.json"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "voc_21 (PAS-20b), val: 1 images, 21 classes" in outcome.out
    row = json.loads(Path("r.json").read_text())["rows"][0]
    assert row["protocol"]["classes"][:2] == ["background", "aeroplane"]
    assert row["protocol"]["extra"]["words"] == "context_59"
    # The same answers, counted by hand.
    model = segtune.load(model_folder, templates="{}", resolution=Resolution.of(32))
    sample = open_for("PAS-20b", datasets, split="val")[0]
    answer = model.segment(sample, "context_59").semantic
    assert answer is not None
    assert sample.semantic is not None
    counted = np.where(answer < 20, answer + 1, 0)
    labelled = sample.semantic >= 0
    hits = (counted == sample.semantic)[labelled].mean()
    assert row["summary"]["pAcc"] == pytest.approx(hits)


@pytest.mark.parametrize("names", ["synonyms", "readable", "mine.txt"])
def test_words_of_another_style(
    run: Run, datasets: Path, model_folder: str, tmp_path: Path, names: str
) -> None:
    (tmp_path / "mine.txt").write_text("\n".join(f"word {i}" for i in range(847)))
    outcome = run(
        *("evaluate", datasets, "--protocol", "ade572-275", "--names", names, "--model"),
        *(model_folder, "--size", 32, "--templates", "{}", "--json", "r.json"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    row = json.loads(Path("r.json").read_text())["rows"][0]
    # ADE20K is readable as it is.
    assert row["protocol"]["extra"].get("words") == ("mine" if names == "mine.txt" else None)
    assert row["protocol"]["classes"][4] == "road"
    assert (len(row["protocol"]["seen"]), len(row["protocol"]["unseen"])) == (572, 275)


def test_joined_names_must_fit_the_model(run: Run, datasets: Path, model_folder: str) -> None:
    words = ("--protocol", "A-847", "--names", "joined", "--model", model_folder)
    outcome = run("evaluate", datasets, *words)
    assert outcome.status == 2
    assert "use a shorter name or template" in outcome.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--retention",), "add --prompts FILE"),
        (("--protocol", "voc15-6"), "did you mean voc15-5?"),
        (("--protocol", "voc15-5"), "choose the protocol of this data set"),
        (("--protocol", "PC-60"), "'PC-60' is not a protocol; did you mean PC-59"),
        (("--names", "joined"), "add --protocol"),
        (("--names", "a, b, c"), "3 names for the 2 words of classes"),
        (("--split", "test"), "is not divided into splits"),
        (("--task", "instance"), "has no instance masks, which task instance needs"),
        (("--task", "panoptic"), "has no instance masks, which task panoptic needs"),
        (("--task", "promptable"), "has no instance masks, which task promptable needs"),
        (("--task", "open-world"), "has no instance masks, which task open-world needs"),
        (("--task", "promptable", "--prompts", "p"), "leave --prompts out"),
        (("--min-score", "0.5"), "add --task instance, federated, panoptic, open-world or"),
        (
            ("--task", "promptable", "--min-score", "0.5"),
            "add --task instance, federated, panoptic",
        ),
        (("--task", "boxes"), "invalid choice"),
    ],
)
def test_what_does_not_fit(
    run: Run, labelled: Path, model_folder: str, words: tuple[str, ...], expected: str
) -> None:
    outcome = run("evaluate", labelled, "--model", model_folder, *words)
    assert outcome.status == 2
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("protocol", "task", "columns"),
    [
        ("LVIS-OW", "open-world", ("AR@100", "AR@100(known)", "AR@100(unseen)")),
        ("COCO-to-UVO", "class-agnostic", ("AR@100", "AP")),
        ("VOC-to-COCO", "class-agnostic", ("AR@10", "AR@100(unseen, others out)")),
    ],
)
def test_a_protocol_brings_its_task(
    run: Run, tmp_path: Path, seem_folder: str, protocol: str, task: str, columns: tuple[str, ...]
) -> None:
    make = {"LVIS-OW": lvis_val, "COCO-to-UVO": trees.uvo, "VOC-to-COCO": coco_val}[protocol]
    words = ("evaluate", make(tmp_path / "data"), "--protocol", protocol, "--model", seem_folder)
    outcome = run(*words, "--size", 64, "--templates", "{}")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"task {task}, " in outcome.out
    assert all(column in outcome.out for column in columns)
    outcome = run(*words, "--size", 64, "--templates", "{}", "--task", "instance")
    assert "task instance, " in outcome.out
