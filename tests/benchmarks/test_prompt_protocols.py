"""The protocols of prompted SEEM models, with a few images and steps."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import camvid_dusk
import retain_cost
import ssprompt_worlds

from tests.data import trees

NEW_WORDS = ["--worlds", "jargon", "--seeds", "0", "--shots", "2", "--steps", "2"]
SMALL = ["--images", "2", "--base-images", "2", "--threads", "1"]


def test_worlds_score_the_target_and_the_words_outside_of_the_fit(tmp_path):
    table = tmp_path / "table.json"
    rows = ["SSPrompt", "SSPrompt, retain=exact", "SemPrompt"]
    arguments = [*NEW_WORDS, *SMALL, "--out", str(tmp_path / "runs"), "--retention", "outside"]
    arguments += ["--systems", *rows, "--json", str(table)]
    ssprompt_worlds.main(arguments)
    found = {row["system"]: row for row in json.loads(table.read_text())}
    assert set(found) == {"zero-shot", *rows}
    zero = found["zero-shot"]["target"]
    for name in rows:
        assert found[name]["target_gain"][0] == pytest.approx(found[name]["target"][0] - zero)
    assert found["SSPrompt, retain=exact"]["outside_change"] == [0.0, 0.0]
    assert "outside" not in found["SemPrompt"]  # it learns no queries
    prompts = list((tmp_path / "runs").glob("*.prompts.safetensors"))
    assert len(prompts) == 2  # both rows of SSPrompt share one fit
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()}
    first = table.read_text()
    ssprompt_worlds.main(arguments)  # nothing is repeated
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()} == before
    assert table.read_text() == first


def test_fits_of_other_settings_have_other_files(tmp_path):
    arguments = [*NEW_WORDS, *SMALL, "--out", str(tmp_path), "--retention", "none"]
    arguments += ["--systems", "SemPrompt"]
    ssprompt_worlds.main(arguments)
    ssprompt_worlds.main([*arguments, "--set", "class_balance=1"])
    ssprompt_worlds.main([*arguments, "--trials"])
    assert len(list(tmp_path.glob("*.prompts.safetensors"))) == 3
    rates = {json.loads(file.read_text())["rates"] is None for file in tmp_path.glob("*-0-*.json")}
    assert rates == {True, False}


@pytest.mark.parametrize(("words", "number"), [("few", 24), ("all", 390)])
def test_weather_worlds_have_few_words_or_all(words, number):
    world = ssprompt_worlds.target_world("fog", words)
    assert world.weather == "fog"
    assert len(world.vocabulary) == number


def test_dusk_frames_are_fitted_or_scored_never_both(tmp_path, monkeypatch):
    trees.camvid(tmp_path / "camvid")
    scored = []
    real = camvid_dusk.evaluate

    def spy(model, dataset, **options):
        scored.append({dataset.sample_id(i) for i in range(len(dataset))})
        return real(model, dataset, **options)

    monkeypatch.setattr(camvid_dusk, "evaluate", spy)
    arguments = [str(tmp_path / "camvid"), "--model", "seem-tiny", "--out", str(tmp_path / "runs")]
    arguments += ["--systems", "semprompt", "--shots", "1", "--seeds", "0", "1", "--steps", "1"]
    arguments += ["--no-trials", "--threads", "1", "--json", str(tmp_path / "table.json")]
    camvid_dusk.main(arguments)
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [(row["system"], row["shots"]) for row in rows] == [("zero-shot", 1), ("semprompt", 1)]
    assert all(len(frames) == 1 for frames in scored)  # the other of the two dusk frames
    assert all("0001TP" in frame for frames in scored for frame in frames)


def test_the_second_group_of_queries_costs_something(tmp_path):
    file = tmp_path / "cost.json"
    retain_cost.main(["--words", "8", "--repeats", "1", "--threads", "1", "--json", str(file)])
    rows = json.loads(file.read_text())
    assert set(rows) == {"shared", "exact"}
    assert 1 < rows["exact"]["macs"] / rows["shared"]["macs"] < 2
    assert all(row["cpu_seconds"] > 0 for row in rows.values())
