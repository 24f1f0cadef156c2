import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.errors import DataError
from segtune.storage.images import Header, image_size, read_header, read_image, write_image
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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_read_image_takes_the_bits_that_are_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int, suffix: str
) -> None:
    values = np.array([[0, (1 << bits) - 1], [1 << (bits - 1), 0]], np.uint16)
    for name in "ab":
        Image.fromarray(values).save(tmp_path / f"{name}{suffix}")
    with caplog.at_level(logging.INFO, "segtune"):
        pixels = [read_image(tmp_path / f"{name}{suffix}") for name in "ab"]
    assert pixels[0][..., 0].tolist() == pixels[1][..., 0].tolist() == [[0, 255], [128, 0]]
    said = [f"{tmp_path}: values of {bits} bits in files of 16, the largest of which decides"]
    assert len(caplog.records) == (bits < 16)
    assert all(text in caplog.text for text in said[: bits < 16])


def test_read_image_takes_the_bits_that_a_tag_states(tmp_path: Path) -> None:
    values = np.array([[0, 200]], np.uint16)
    for largest, expected in ((4095, 200 >> 4), (65535, 0), (100, 200)):
        Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={281: largest})
        assert read_image(tmp_path / "a.tif")[0, 1, 0] == expected


def test_read_image_of_several_pages_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = [Image.fromarray(np.full((2, 3), i, np.uint8)) for i in (7, 8, 9)]
    for suffix in (".tif", ".gif", ".png"):
        pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:])
        with caplog.at_level(logging.INFO, "segtune"):
            assert (read_image(tmp_path / f"a{suffix}") == 7).all()
        assert f"a{suffix} has several frames or pages; the first one is read" in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "P"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiff_is_upright_as_png_is(
    tmp_path: Path, orientation: int, mode: str, compression: str | None
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    pixels = {"RGB": np.dstack([values] * 3), "I;16": values.astype(np.uint16) << 8}.get(
        mode, values
    )
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    image.save(tmp_path / "a.tif", tiffinfo={0x0112: orientation}, compression=compression)
    expected = read_image(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.tif"), expected)
    assert image_size(tmp_path / "a.tif") == image_size(tmp_path / "a.png") == expected.shape[:2]
    assert read_header(tmp_path / "a.tif") == Header((5, 7), orientation)


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
