"""`segtune segment --workers 2`: the files of one process; a run that was killed goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segtune.cli.jobs import shards
from tests.cli.conftest import Run, save


@pytest.fixture
def many(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(5):
        save(tmp_path / "many" / f"{i}.png", rng.integers(0, 256, (40 + i, 50, 3), np.uint8))
    (tmp_path / "many" / "3.png").write_bytes(b"broken")
    return tmp_path / "many"


def files(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_two_processes_write_the_files_of_one(
    run: Run, many: Path, model_folder: str, task: str
) -> None:
    words = ("segment", many, "--model", model_folder, "--vocab", "star, grass", "--task", task)
    one = run(*words, "--out", "one")
    two = run(*words, "--out", "two", "--workers", "2")
    assert (one.status, two.status) == (1, 1), two.err
    assert two.err == one.err
    assert two.out.replace("two", "one") == one.out
    assert files("two") == files("one")
    assert not Path("two.part").exists()


def test_answers_that_are_there_are_not_given_again(
    run: Run, many: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: the runner of one worker is asked for by hand."""
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 2)
    monkeypatch.setattr(shards, "runner_of", lambda options: None)
    asked: list[str] = []
    answer = shards.AnswerStage._one

    def noted(self: shards.AnswerStage, image: shards.ImageFile) -> object:
        asked.append(image.name)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return answer(self, image)

    monkeypatch.setattr(shards.AnswerStage, "_one", noted)
    words = ("segment", many, "--model", model_folder, "--vocab", "star", "--workers", "2")
    assert run(*words).status != 0
    assert not Path("segmented").exists() or not list(Path("segmented").rglob("*.png"))
    assert run(*words).status == 1
    assert asked == ["0", "1", "2", "3", "2", "3", "4"]
    assert sorted(p.stem for p in Path("segmented/labels").iterdir()) == ["0", "1", "2", "4"]


def test_what_is_in_the_way_is_left_alone(
    run: Run, many: Path, model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "runner_of", lambda options: None)
    Path("segmented.part").mkdir()
    Path("segmented.part/mine.txt").write_text("mine")
    words = ("segment", many, "--model", model_folder, "--vocab", "star", "--workers", "2")
    outcome = run(*words)
    assert outcome.status == 2
    assert "segmented.part is in the way and no unfinished run" in outcome.err
    Path("segmented.part/graph.json").write_text(json.dumps({"graph": "segment"}))
    assert run(*words).status == 1
