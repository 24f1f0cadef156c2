"""Whose run goes on where: identities, old names, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from segtune.errors import SegtuneError
from segtune.train.checkpoints import read_state, write_atomically
from segtune.train.run_files import RunFiles, identity_of
from tests.train.toy import SETTINGS, Toy


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a run of all steps."""
    Toy().run(tmp_path / "run")
    return tmp_path / "run"


def test_the_recipe_holds_settings_and_versions(finished: Path) -> None:
    text = (finished / "recipe.yaml").read_text()
    assert yaml.safe_load(text) == SETTINGS
    assert f"'torch': '{torch.__version__}" in text.splitlines()[0]


def test_an_existing_run_is_not_overwritten(finished: Path) -> None:
    before = (finished / "checkpoint.pt").read_bytes()
    with pytest.raises(SegtuneError, match="--resume"):
        Toy().run(finished)
    assert (finished / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"widths": [4, 8]}, "widths"),
        ({"more": True}, "more"),
        ({"more": None}, "more"),
        ({"name": {"first": "toy"}}, "name"),
    ],
)
def test_another_recipe_is_refused(finished: Path, change: dict[str, Any], name: str) -> None:
    with pytest.raises(SegtuneError, match=f"other settings for {name};"):
        Toy().run(finished, settings=SETTINGS | change, resume=True)
    assert yaml.safe_load((finished / "recipe.yaml").read_text()) == SETTINGS


def test_settings_inside_of_others_are_named_in_full(tmp_path: Path) -> None:
    settings = {"fit": {"loop": {"lr": 1.0, "steps": 7}, "views": (1, 2)}}
    Toy().run(tmp_path, settings=settings, stop_after=3)
    assert Toy().run(tmp_path, settings=settings, resume=True) == 7  # tuples are lists by now
    changed = {"fit": {"loop": {"lr": 2.0, "steps": 7}, "views": (1, 3)}}
    with pytest.raises(SegtuneError, match=r"settings for fit\.loop\.lr, fit\.views; repeat"):
        Toy().run(tmp_path, settings=changed, resume=True)


def test_how_often_to_save_may_change(finished: Path) -> None:
    assert Toy().run(finished, settings=SETTINGS | {"save_every": 1}, resume=True) == 7


def test_checkpoints_with_old_names_go_on(tmp_path: Path) -> None:
    """Those of version 0.1 call the settings "recipe", and some of them by another name."""
    now = {"steps": 7, "precision": "fp32", "fit": {"loop": {"warmup": 2}}, "system": "toy"}
    Toy().run(tmp_path, settings=now, stop_after=3)
    state = read_state(tmp_path / "checkpoint.pt")
    then = {"num_steps": 7, "precision": "no", "fit": {"loop": {"warmup_steps": 2}}}
    write_atomically(tmp_path / "checkpoint.pt", {**state, "extra": {"recipe": then}})
    assert identity_of(read_state(tmp_path / "checkpoint.pt")) == {
        key: value for key, value in now.items() if key != "system"
    }
    assert Toy().run(tmp_path, settings=now, resume=True) == 7


def test_a_new_run_drops_what_an_older_one_left(tmp_path: Path) -> None:
    """A log without a checkpoint, such as that of a finished fit."""
    Toy().run(tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    Toy().run(tmp_path, stop_after=2)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_run_may_be_asked_to_replace_another(finished: Path) -> None:
    files = RunFiles.in_folder(finished, {"other": 1}, resume=False, anew=True)
    assert files.anew
    with pytest.raises(SegtuneError, match="already holds a run"):
        RunFiles.in_folder(finished, {"other": 1}, resume=False)


def test_a_diverged_run_with_the_same_settings_goes_on_where_asked(tmp_path: Path) -> None:
    toy = Toy()
    toy.spoil = lambda step: float("nan") if step > 5 else 1.0
    with pytest.raises(SegtuneError, match="in step 6"):
        toy.run(tmp_path)
    last = Toy()
    assert last.run(tmp_path, resume=True) == 7
    assert last.steps == [4, 5, 6]
