from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segtune.cli.fit import config_of, print_trials
from segtune.cli.main import parser_of
from segtune.eval.retention import Retention
from segtune.eval.semantic import ConfusionMatrix
from segtune.prompts import Prompts
from segtune.train import loop
from segtune.types import Vocabulary
from tests.cli.conftest import Run

QUICK = ("--steps", 2, "--views", 1, "--shots", 2, "--size", 32)


def test_a_fit_writes_a_prompt_file_with_retention(
    run: Run, labelled: Path, model_folder: str
) -> None:
    outcome = run(
        *("fit", labelled, *QUICK, "--model", model_folder, "--out", "new/p.safetensors"),
        *("--set", "variant=paper", "--set", "m2oe_rank=2", "--lr", "1e-4", "--templates", "name"),
        *("--retention", 2, "--retention-data", labelled),
    )
    assert (outcome.status, outcome.err) == (0, "")
    prompts = Prompts.load("new/p.safetensors")
    assert prompts.options["m2oe_rank"] == 2
    assert prompts.training["config"]["loop"]["lr"] == 1e-4
    assert prompts.templates.name == "name"
    assert prompts.metrics["retention"]["images"] == 2
    assert 0 <= prompts.metrics["retention"]["before"]["mIoU"] <= 1
    assert f"learned {prompts.num_learned():,} numbers from 2 images of scenes" in outcome.out
    assert "retention" in outcome.out
    assert "model tiny on" in outcome.out
    assert not Path("new/p.safetensors.checkpoint").exists()


@pytest.mark.parametrize(("wrong", "says"), [(0, False), (1, True)])
def test_a_fit_that_costs_much_elsewhere_says_how_to_lose_less(
    run: Run, labelled: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch, wrong, says
) -> None:
    before, after = ConfusionMatrix(2), ConfusionMatrix(2)
    before.update(np.array([0, 1, 1]), np.array([0, 1, 1]))
    after.update(np.array([0, 1 - wrong, 1]), np.array([0, 1, 1]))
    words = Vocabulary.of("cat", "dog")
    found = Retention(before.scores(words), after.scores(words))
    monkeypatch.setattr("segtune.cli.fit.base_retention", lambda *_, **__: found)
    outcome = run(
        *("fit", labelled, *QUICK, "--model", model_folder, "--out", "p.safetensors"),
        *("--retention", 2, "--retention-data", labelled),
    )
    assert ("50.0 points of mIoU were lost there: a lower --lr" in outcome.out) is says


def test_an_existing_file_is_kept_unless_forced(
    run: Run, labelled: Path, model_folder: str
) -> None:
    Path("p.safetensors").write_text("precious")
    words = ("fit", labelled, *QUICK, "--model", model_folder, "--out", "p.safetensors")
    outcome = run(*words)
    assert outcome.status == 2
    assert outcome.err == (
        "segtune: p.safetensors exists; add --force to replace it, or choose another --out\n"
    )
    assert Path("p.safetensors").read_text() == "precious"
    assert run(*words, "--force").status == 0
    assert Prompts.load("p.safetensors").system == "rpn"


def test_an_interrupted_fit_goes_on_and_ends_the_same(
    run: Run, labelled: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("fit", labelled, "--steps", 4, "--views", 1, "--shots", 2, "--size", 32)
    words += ("--model", model_folder, "--out")
    assert run(*words, "through.safetensors").status == 0
    real_learn, calls = loop._learn, iter(range(4))

    def learn(*arguments: Any) -> dict[str, torch.Tensor]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real_learn(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_learn", learn)
        outcome = run(*words, "p.safetensors")
    assert outcome.status == 130
    assert "same command again" in outcome.err
    assert not Path("p.safetensors").exists()

    outcome = run(*words, "p.safetensors")
    assert "going on from step 2 of p.safetensors.checkpoint" in outcome.out
    first, second = Prompts.load("through.safetensors"), Prompts.load("p.safetensors")
    assert all(torch.equal(first.tensors[key], second.tensors[key]) for key in first.tensors)


def test_few_images_are_all_used(run: Run, labelled: Path, model_folder: str) -> None:
    words = ("fit", labelled, "--steps", 1, "--views", 1, "--size", 32, "--system", "lpm")
    outcome = run(*words, "--model", model_folder, "--out", "p.safetensors")
    assert (outcome.status, outcome.err) == (0, "")
    assert "scenes has 3 images; all are used" in outcome.out
    outcome = run(*words, "--model", model_folder, "--out", "q.safetensors", "--shots", 4)
    assert outcome.status == 2
    assert "use --shots 3 or fewer" in outcome.err


def test_options_become_a_config() -> None:
    words = ["data", "--out", "p", "--steps", "30", "--batch", "2", "--views", "0", "--crop", "64"]
    config = config_of(parser_of("fit").parse_args(words), "rpn")
    assert (config.loop.steps, config.loop.save_every, config.batch) == (30, 3, 2)
    assert (config.views, config.crop, config.short_side) == (0, 64, None)
    default = config_of(parser_of("fit").parse_args(["data", "--out", "p"]), "rpn")
    assert default.loop.clip_norm == 1.0


def test_a_named_rate_or_fresh_views_need_no_trials() -> None:
    def factors(*words: str) -> tuple[object, ...]:
        options = parser_of("fit").parse_args(["data", "--out", "p", *words])
        return config_of(options, "ssprompt").rate_factors

    assert factors()
    assert factors("--lr", "0.02") == factors("--views", "0") == ()


@pytest.mark.parametrize(
    ("best", "said"),
    [([1.0, 1.0], "0.500 before, 0.750 after, rates times 1, 1"), ([0.0, 0.0], "change nothing")],
)
def test_what_held_out_shots_said_is_printed(best, said, capsys) -> None:
    scores = [{"factors": [0.0, 0.0], "score": 0.5}, {"factors": [1.0, 1.0], "score": 0.75}]
    print_trials({"folds": 2, "best": best, "scores": scores})
    assert said in capsys.readouterr().out
    print_trials(None)
    assert not capsys.readouterr().out


def test_tasks_are_for_systems_that_learn_masks(
    run: Run, labelled: Path, model_folder: str, seem_folder: str
) -> None:
    words = ("fit", labelled, *QUICK, "--model", model_folder, "--out", "p.safetensors")
    outcome = run(*words, "--task", "panoptic")
    assert (outcome.status, outcome.err) == (
        2,
        "segtune: rpn labels pixels; --task panoptic needs a system that learns masks, such as "
        "ssprompt on a SEEM\n",
    )
    assert run(*words, "--task", "semantic", "--system", "lpm").status == 0
    words = ("fit", labelled, *QUICK, "--model", seem_folder, "--out", "q.safetensors")
    outcome = run(*words, "--system", "ssprompt", "--task", "instance")
    assert outcome.status == 2
    assert "has no instance masks, which task instance needs" in outcome.err
