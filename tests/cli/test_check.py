from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli.main import main
from tests.data import trees


def test_what_a_fit_would_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.labelme(tmp_path / "in")
    sheet = tmp_path / "sheet.png"
    assert main(["check", str(tmp_path / "in"), "--out", str(sheet)]) == 0
    said = capsys.readouterr().out
    assert "layout labelme, splits all" in said
    assert "in, all: 1 image, 1 objects" in said
    assert "sizes: 8x6" in said
    assert [line.split() for line in said.splitlines() if " cat " in line][-1] == [
        *("0", "cat", "12", "25.0", "1")
    ]
    assert "nothing odd" in said
    assert np.asarray(Image.open(sheet)).std() > 0


def test_what_is_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = "1 0 0 0.25 0 0.25 0.17 0 0.17"
    whole = "0 0 0 1 0 1 1 0 1"
    trees.yolo(tmp_path, lines=f"{tiny}\n{whole}")
    trees.yolo(tmp_path, lines="", order="{kind}/val/{name}")
    assert main(["check", str(tmp_path), "--out", str(tmp_path / "s.png")]) == 1
    said = capsys.readouterr().out
    assert "train: 1 to look at, an object of less than 9 pixels: a" in said
    assert "train: 1 to look at, an object that is the whole image: a" in said
    assert "val: 1 to look at, nothing is labelled: a" in said
    assert "1 to look at, the same name in train and val: a" in said


def test_bad_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.yolo(tmp_path, lines="9 0 0 1 0 1 1")
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
