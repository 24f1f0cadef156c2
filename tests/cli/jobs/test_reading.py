"""Images read ahead: the same pixels, errors at the turn of their image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli.images import ImageFile
from segtune.cli.jobs import reading
from segtune.cli.jobs.reading import read_ahead
from segtune.errors import ImageError


def images(folder: Path, count: int) -> list[ImageFile]:
    found = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((3, 4, 3), number, np.uint8)).save(path)
        found.append(ImageFile(str(number), path))
    return found


@pytest.mark.parametrize("largest", [0, 11, 12])
def test_pixels_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(reading, "AHEAD_PX", largest)
    got = [(image.name, pixels()) for image, pixels in read_ahead(images(tmp_path, 4))]
    assert [name for name, _ in got] == ["0", "1", "2", "3"]
    assert [int(pixels[0, 0, 0]) for _, pixels in got] == [0, 1, 2, 3]
    assert all(pixels.shape == (3, 4, 3) for _, pixels in got)
    assert list(read_ahead([])) == []


def test_a_bad_image_is_told_at_its_turn_and_the_others_are_read(tmp_path: Path) -> None:
    files = images(tmp_path, 3)
    files[1].path.write_bytes(files[1].path.read_bytes()[:40])
    told = []
    for image, pixels in read_ahead(files):
        try:
            pixels()
        except ImageError:
            told.append(image.name)
        else:
            told.append("read")
    assert told == ["read", "1", "read"]


def test_an_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    plain = reading.read_image
    monkeypatch.setattr(reading, "read_image", lambda path: (read.append(path), plain(path))[1])
    files = images(tmp_path, 3)
    for _, pixels in read_ahead(files):
        pixels()
    assert sorted(read) == [file.path for file in files]
