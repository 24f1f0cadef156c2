"""`segtune datasets build`: data sets that are made of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from segtune.data.lvis_ow.building import RECORD, TRAIN_OW, TRAIN_RESPLIT, VAL_RESPLIT
from tests.cli.conftest import Run
from tests.data.lvis_ow.sources import files


def sources(folder: Path) -> list[str]:
    train, val, coco = map(str, files(folder).save())
    return ["--lvis-train", train, "--lvis-val", val, "--coco", coco]


def test_lvis_ow_is_built_checked_and_kept(tmp_path: Path, run: Run) -> None:
    words = ["build", "lvis-ow", *sources(tmp_path), "--out", str(tmp_path / "out")]
    done = run("datasets", *words)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {RECORD, TRAIN_OW, TRAIN_RESPLIT, VAL_RESPLIT}
    assert f"{TRAIN_OW} written: 3 images, 5 annotations" in done.out
    assert "checked: no image is in both training and validation" in done.out
    assert "--protocol LVIS-OW" in done.out
    assert run("datasets", *words).out.count("is finished") == 3
    done = run("datasets", *words, "--merge", "drop")
    assert f"{TRAIN_OW} written: 3 images, 4 annotations" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--coco", "x"), "--coco is about building; type `build lvis-ow` before it"),
        (("build",), "build which data set"),
        (("build", "lvis-ow", "--coco", "x"), "needs --lvis-train and --lvis-val and --out"),
        (("build", "coco"), "invalid choice: 'coco'"),
    ],
)
def test_what_lacks_is_named(words: tuple[str, ...], message: str, run: Run) -> None:
    done = run("datasets", *words)
    assert done.status == 2
    assert message in done.err
