from pathlib import Path

import pytest

from segtune.cli.main import main
from segtune.data.formats import open_dataset
from tests.data import trees


def test_from_labelme_to_yolo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.labelme(tmp_path / "in")
    out = tmp_path / "out"
    words = ["convert", str(tmp_path / "in"), "--to", "yolo", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "labelme to yolo: 1 images with 1 objects" in said
    assert f"wrote {out / 'labels'}, {out / 'data.yaml'}" in said
    before, after = open_dataset(tmp_path / "in")[0], open_dataset(out)[0]
    assert (before.semantic == after.semantic).all()
    assert main(words) == 2
    assert "is not empty; choose another --out, or add --force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_what_is_lost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.coco_instances(tmp_path / "coco")
    out = str(tmp_path / "out")
    assert main(["convert", str(tmp_path / "coco"), "--to", "labelme", "--out", out]) == 0
    assert "not held by labelme: 1 crowd regions" in capsys.readouterr().out


def test_all_splits_or_one(tmp_path: Path) -> None:
    trees.camvid(tmp_path / "camvid")
    out = tmp_path / "out"
    words = ["convert", str(tmp_path / "camvid"), "--to", "png", "--out"]
    assert main([*words, str(out)]) == 0
    assert {path.name for path in (out / "labels").iterdir()} >= {"train", "val"}
    assert main([*words, str(tmp_path / "one"), "--split", "val"]) == 0
    assert [path.name for path in (tmp_path / "one" / "labels").iterdir()] == ["val"]
