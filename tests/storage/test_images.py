from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.errors import DataError
from segtune.storage.images import image_size, read_image, write_image
from tests.data.trees import SIZE, save_image, save_map

RED = np.full((2, 3, 3), (200, 0, 0), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".jpg"])
def test_read_image_of_any_file_type(tmp_path: Path, suffix: str) -> None:
    file = save_image(tmp_path / f"a{suffix}")
    image = read_image(file)
    assert image.shape == (*SIZE, 3)
    assert image.dtype == np.uint8
    assert image_size(file) == SIZE


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", ".png", (200, 0, 0)),
        ("L", ".png", (60, 60, 60)),
        ("P", ".png", (200, 0, 0)),
        ("CMYK", ".tif", (200, 0, 0)),
        ("LA", ".png", (60, 60, 60)),
        ("1", ".png", (0, 0, 0)),
    ],
)
def test_read_image_converts_modes(
    tmp_path: Path, mode: str, suffix: str, expected: tuple[int, int, int]
) -> None:
    image = Image.fromarray(RED)
    image = image.convert(mode, dither=Image.Dither.NONE) if mode == "1" else image.convert(mode)
    image.save(tmp_path / f"a{suffix}")
    pixels = read_image(tmp_path / f"a{suffix}")
    assert np.abs(pixels.astype(int) - expected).max() <= 5


def test_read_image_shows_transparent_pixels_white(tmp_path: Path) -> None:
    alpha = np.array([[0, 255, 128]] * 2, np.uint8)
    Image.fromarray(np.dstack([RED, alpha])).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")[0]
    assert pixels[0].tolist() == [255, 255, 255]
    assert pixels[1].tolist() == [200, 0, 0]
    assert np.abs(pixels[2].astype(int) - (227, 127, 127)).max() <= 1


def test_read_image_keeps_the_upper_half_of_16_bits(tmp_path: Path) -> None:
    save_map(tmp_path / "a.png", np.array([[0, 256, 65535]]), bits=16)
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 1, 255]


def test_read_image_turns_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RED).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (3, 2, 3)
    assert image_size(tmp_path / "a.jpg") == (3, 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_read_image_refuses_a_cut_file(tmp_path: Path, suffix: str) -> None:
    file = save_image(tmp_path / f"a{suffix}", size=(64, 64))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be read.*copy the file again"):
        read_image(file)


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_read_image_refuses_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="not a readable picture"):
        read_image(tmp_path / "a.png")


def test_read_image_refuses_what_does_not_fit_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="megapixels; cut it up"):
        read_image(file)


def test_read_image_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image .*no.png does not exist"):
        read_image(tmp_path / "no.png")


def test_written_images_can_be_read_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_image(tmp_path / "new" / "a.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), pixels)
