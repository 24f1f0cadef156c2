import logging
from pathlib import Path

import pytest

from segtune.cli.images import find_images, relative_names


def touch(*paths: str) -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_folders_and_globs_name_each_image_once() -> None:
    touch("a/x.jpg", "a/y.png", "a/notes.txt", "b/x.jpg", "b/deep/z.png")
    images, problems = find_images(["a", "a/x.jpg", "b/**/*.*"])
    assert problems == []
    assert [(image.name, str(image.path)) for image in images] == [
        ("x", "a/x.jpg"),
        ("y", "a/y.png"),
        ("z", "b/deep/z.png"),
        ("x-2", "b/x.jpg"),
    ]
    assert relative_names(images)["x-2"] == "b/x.jpg"


def test_words_that_name_no_image() -> None:
    touch("empty/notes.txt", "odd[1].png")
    images, problems = find_images(["none.jpg", "empty", "*.webp", "odd[1].png"])
    assert [image.name for image in images] == ["odd[1]"]
    assert problems == [
        "image none.jpg does not exist; check the path",
        "folder empty has no images; check the path",
        "no file matches *.webp; check the pattern",
    ]


def test_pictures_of_a_folder_that_cannot_be_read_are_problems() -> None:
    touch("a/x.jpg", "a/y.JFIF", "a/z.heic", "a/w.dng", "raw/a.nef")
    images, problems = find_images(["a", "raw"])
    assert [image.path.name for image in images] == ["x.jpg", "y.JFIF"]
    assert [problem.split()[1] for problem in problems] == ["a/w.dng", "a/z.heic", "raw/a.nef"]
    assert "is of a kind that is not read; save it as .png" in problems[0]


def test_what_else_is_in_a_folder_is_told(caplog: pytest.LogCaptureFixture) -> None:
    touch("a/x.jpg", "a/.hidden", "a/deep/z.jpg", *(f"a/{i}.json" for i in range(7)))
    with caplog.at_level(logging.INFO, "segtune"):
        assert len(find_images(["a"])[0]) == 1
        find_images(["a/x.jpg"])
    assert [record.getMessage() for record in caplog.records] == [
        "left out of a, no pictures: 0.json, 1.json, 2.json, 3.json, 4.json and 2 more",
        "left out of a, folders; a pattern such as '**/*.jpg' looks into them: deep",
    ]


def test_numbered_names_stay_unique() -> None:
    touch("a/x.png", "a/x-2.png", "b/x.png")
    images, _ = find_images(["a", "b"])
    assert len({image.name for image in images}) == 3
