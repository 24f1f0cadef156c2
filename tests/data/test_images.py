import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.images import (
    image_size,
    read_image,
    read_label_map,
    write_image,
    write_label_map,
)
from segtune.errors import DataError
from tests.data.trees import SIZE, noise, save_image, save_map

RED = np.full((2, 3, 3), (200, 0, 0), np.uint8)


def test_written_images_can_be_read_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_image(tmp_path / "new" / "a.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), pixels)


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


@pytest.mark.parametrize(("suffix", "bits"), [(".png", 8), (".png", 16), (".tif", 16)])
def test_read_label_map_keeps_raw_values(tmp_path: Path, suffix: str, bits: int) -> None:
    values = save_map(tmp_path / f"a{suffix}", noise(200, 248) * (bits // 8), bits=bits)
    labels = read_label_map(tmp_path / f"a{suffix}")
    assert labels.dtype == np.int32
    assert (labels == values).all()


def test_read_label_map_ignores_the_palette(tmp_path: Path) -> None:
    values = save_map(tmp_path / "a.png", noise(0, 40), palette=True)
    assert (read_label_map(tmp_path / "a.png") == values).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_read_label_map_of_few_bits_per_pixel(tmp_path: Path, bits: int) -> None:
    values = noise(0, 2**bits, size=(3, 8))
    (tmp_path / "a.png").write_bytes(grey_png(values, bits))
    assert (read_label_map(tmp_path / "a.png") == values).all()


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG with `bits` per pixel, which optimisers write and Pillow does not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    packed = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(packed)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_read_label_map_refuses_colours(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"not an index map \(mode RGB\)"):
        read_label_map(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("num_classes", "mode", "ignored"),
    [(1, "L", 255), (255, "L", 255), (256, "I;16", 65535), (847, "I;16", 65535)],
)
def test_write_label_map_chooses_the_depth(
    tmp_path: Path, num_classes: int, mode: str, ignored: int
) -> None:
    labels = np.array([[-1, 0, num_classes - 1]], np.int32)
    write_label_map(tmp_path / "a.png", labels, num_classes=num_classes)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
    assert read_label_map(tmp_path / "a.png").tolist() == [[ignored, 0, num_classes - 1]]


def test_write_label_map_with_colours(tmp_path: Path) -> None:
    write_label_map(tmp_path / "a.png", np.array([[1, 0]]), colors=[(9, 8, 7), (1, 2, 3)])
    assert read_image(tmp_path / "a.png").tolist() == [[[1, 2, 3], [9, 8, 7]]]
    assert read_label_map(tmp_path / "a.png").tolist() == [[1, 0]]


@pytest.mark.parametrize("labels", [[[-2, 0]], [[0, 3]]])
def test_write_label_map_refuses_values_that_are_no_class(tmp_path: Path, labels: list) -> None:
    with pytest.raises(DataError, match="class ids of 3 classes run from 0 to 2"):
        write_label_map(tmp_path / "a.png", np.array(labels), num_classes=3)
    assert not list(tmp_path.iterdir())


def test_write_label_map_refuses_lossy_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.png or \.tif"):
        write_label_map(tmp_path / "a.jpg", np.zeros((2, 2), int))


def test_write_label_map_keeps_the_old_file_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_label_map(tmp_path / "a.png", np.array([[5]]))

    def full(self: Image.Image, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_label_map(tmp_path / "a.png", np.array([[6]]))
    assert read_label_map(tmp_path / "a.png").tolist() == [[5]]
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
