import csv
import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run


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
        ("panoptic", ("PQ", "SQ", "RQ", "PQth", "SQth", "RQth", "PQst", "SQst", "RQst")),
        ("promptable", ("1-click IoU", "1-box IoU")),
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
        assert f"zero-shot {columns[0]}" in next(csv.reader(file))
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--retention",), "add --prompts FILE"),
        (("--protocol", "voc15-6"), "did you mean voc15-5?"),
        (("--protocol", "voc15-5"), "choose the protocol of this data set"),
        (("--split", "test"), "is not divided into splits"),
        (("--task", "instance"), "has no instance masks, which task instance needs"),
        (("--task", "panoptic"), "has no instance masks, which task panoptic needs"),
        (("--task", "promptable"), "has no instance masks, which task promptable needs"),
        (("--task", "promptable", "--prompts", "p"), "leave --prompts out"),
        (("--min-score", "0.5"), "add --task instance or panoptic"),
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
