"""Files that name files: what leaves the folder of the data is refused, or not looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segtune.data.formats import open_dataset
from segtune.errors import DataError
from tests.data import trees

OUTSIDE = ("../secret.jpg", "/SECRET", "a/../../secret.jpg")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return trees.save_image(tmp_path / "secret.jpg")


def renamed(file: Path, name: str, key: str = "images") -> None:
    content = json.loads(file.read_text())
    for entry in content[key]:
        entry["file_name"] = name
    content[key] = content[key][:1]
    if key == "images":
        kept = content["images"][0]["id"]
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] == kept]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("build", [trees.coco_instances, trees.coco_captions])
def test_names_of_coco_stay_inside(tmp_path: Path, secret: Path, build, name: str) -> None:
    file = build(tmp_path / "data")
    target = file.parent / name
    if name.startswith("../"):
        target = file.parents[2] / "secret.jpg"
        name = "../../secret.jpg"
    renamed(file, name.replace("/SECRET", str(secret)))
    assert secret.exists()
    assert target.name
    with pytest.raises(DataError, match=r"outside of|were not found"):
        open_dataset(file)


def test_a_name_that_goes_up_and_stays_in_the_data_is_read(tmp_path: Path) -> None:
    file = trees.coco_instances(tmp_path / "data")
    content = json.loads(file.read_text())
    for image in content["images"]:
        found = next((tmp_path / "data").rglob(image["file_name"]))
        image["file_name"] = f"../{found.relative_to(tmp_path / 'data')}"
    file.write_text(json.dumps(content))
    assert open_dataset(file)[0].pixels().ndim == 3


def test_links_that_leave_are_refused_unless_the_folder_is_named(
    tmp_path: Path, secret: Path
) -> None:
    file = trees.coco_instances(tmp_path / "data")
    name = json.loads(file.read_text())["images"][0]["file_name"]
    image = next((tmp_path / "data").rglob(name))
    image.unlink()
    image.symlink_to(secret)
    with pytest.raises(DataError, match="outside of"):
        open_dataset(file)
    assert len(open_dataset(f"{file}?images={image.parent}"))


def test_the_maps_of_panoptic_stay_inside(tmp_path: Path, secret: Path) -> None:
    file, _ = trees.coco_panoptic(tmp_path / "data")
    content = json.loads(file.read_text())
    content["annotations"][0]["file_name"] = "../../secret.jpg"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="outside of"):
        open_dataset(file)


def test_tools_do_not_look_outside(tmp_path: Path, secret: Path) -> None:
    data = tmp_path / "a" / "b"
    file = trees.labelme(data / "labelme")
    content = json.loads(file.read_text())
    (data / "labelme" / "a.jpg").unlink()
    file.write_text(json.dumps(content | {"imagePath": "../../../secret.jpg"}))
    with pytest.raises(DataError):
        open_dataset(data / "labelme")[0]
    trees.cvat(data / "cvat", name="a.jpg")
    xml = data / "cvat" / "annotations.xml"
    xml.write_text(xml.read_text().replace("a.jpg", "../../../secret.jpg"))
    with pytest.raises(DataError, match="none of the images"):
        open_dataset(data / "cvat")
    trees.labelstudio(data / "studio", url=f"/data/local-files/?d={secret}")
    with pytest.raises(DataError, match="none of the images"):
        open_dataset(data / "studio")
