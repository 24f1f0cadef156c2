"""The commands on a pair of proposals and a CLIP."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

WORDS = ("--vocab", "star, grass", "--templates", "name")


def test_a_pair_by_its_folder_or_by_its_parts(
    run: Run, photos: Path, pair_folder: str, model_folder: str
) -> None:
    outcome = run("segment", photos, *WORDS, "--model", pair_folder)
    assert (outcome.status, outcome.err) == (0, "")
    assert "model pair on cpu" in outcome.out
    assert "approximate" not in outcome.out
    parts = f"{pair_folder}/masks+{model_folder}"
    outcome = run("segment", photos, *WORDS, "--model", parts, "--size", 32)
    assert (outcome.status, outcome.err) == (0, "")
    assert "model tiny-maskformer+tiny on cpu" in outcome.out


def test_approximations_say_what_they_cost(run: Run, photos: Path, pair_folder: str) -> None:
    outcome = run(
        *("segment", photos, *WORDS, "--model", pair_folder, "--set", "min_score_mass=0.9")
    )
    assert outcome.status == 0
    assert outcome.out.count("% of labels equal on the first image") == 1
    exact = run("segment", photos, *WORDS, "--model", pair_folder, "--set", "weight=0.5")
    assert "approximate" not in exact.out


def test_another_system_on_the_same_pair(run: Run, photos: Path, pair_folder: str) -> None:
    model = ("--model", pair_folder)
    zegformer = ("--system", "zegformer", "--set", "clip_templates=name", "--set", "gamma=0")
    outcome = run("segment", photos, *WORDS, *model, *zegformer)
    assert (outcome.status, outcome.err) == (0, "")
    outcome = run("segment", photos, *WORDS, *model, "--set", "wieght=0.5")
    assert outcome.status == 2
    assert "two-stage has no option wieght" in outcome.err


@pytest.mark.parametrize("system", ["ovseg", "simbaseline"])
def test_fit_and_use(run: Run, labelled: Path, photos: Path, pair_folder: str, system: str) -> None:
    model = ("--model", pair_folder, "--templates", "name")
    fit = ("fit", labelled, "--system", system, "--shots", 2, "--steps", 2, "--size", 32)
    settings = ("--set", "prefix_tokens=2") if system == "simbaseline" else ()
    outcome = run(*fit, *settings, *model, "--out", "learned.safetensors")
    assert (outcome.status, outcome.err) == (0, "")
    learned = 2 * 32 if settings else 2 * 16 * 32  # words, or layers of patches, of width 32
    assert f"learned {learned:,} numbers" in outcome.out
    use = ("segment", photos, "--prompts", "learned.safetensors", "--model", pair_folder)
    outcome = run(*use, "--set", "duplicate_iou=0.9")
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 classes in 2 images" in outcome.out
    assert "approximate" in outcome.out
    outcome = run(*use, "--system", "zegformer")
    assert outcome.status == 2
    assert f"--prompts bring their system, {system}; leave --system out" in outcome.err


def test_zegformer_learns_nothing_and_says_so(run: Run, labelled: Path, pair_folder: str) -> None:
    system = ("--system", "zegformer", "--model", pair_folder)
    outcome = run("fit", labelled, *system, "--out", "x.safetensors")
    assert outcome.status == 2
    assert "zegformer learns nothing; choose ovseg, simbaseline" in outcome.err


def test_evaluate_with_options(run: Run, labelled: Path, pair_folder: str) -> None:
    outcome = run(
        *("evaluate", labelled, "--model", pair_folder, "--templates", "name"),
        *("--system", "two-stage", "--set", "scores=clip", "--json", "scores.json"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert Path("scores.json").is_file()
