"""Masks in picture files of every mode: numbers and indices count, never how they look."""

import numpy as np
import pytest
from PIL import Image

from segtune.data.masks.files import read_mask, read_numbers, read_regions
from segtune.errors import DataError

SIZE = (30, 40)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[5:20, 8:25] = 1
    return mask


def _palette(mask: np.ndarray, colors: list[int]) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette(colors + [0] * (768 - len(colors)))
    return image


def _rgba(rgb: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


def _photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


FORMS = {
    "1 bit": lambda m: Image.fromarray(m.astype(bool)),
    "8 bits of 1": Image.fromarray,
    "8 bits of 255": lambda m: Image.fromarray(m * 255),
    "16 bits of 1": lambda m: Image.fromarray(m.astype(np.uint16)),
    "16 bits of 255": lambda m: Image.fromarray(m.astype(np.uint16) * 255),
    "32 bits": lambda m: Image.fromarray(m.astype(np.int32) * 100_000),
    "floats": lambda m: Image.fromarray(m.astype(np.float32)),
    "floats of 255": lambda m: Image.fromarray(m.astype(np.float32) * 255),
    "grey in colours": lambda m: Image.fromarray(_three(m * 255)),
    "a colour on black": lambda m: Image.fromarray((m[..., None] * [200, 0, 9]).astype(np.uint8)),
    "palette whose index 1 is black": lambda m: _palette(m, [0]),
    "palette whose index 0 is grey": lambda m: _palette(m, [9, 9, 9, 0, 255, 0]),
    "grey with full alpha": lambda m: Image.merge("LA", [Image.fromarray(m), _full()]),
    "white on transparent": lambda m: _rgba(_three(m * 255), m * 255),
    "black on transparent": lambda m: _rgba(_three(m * 0), m * 255),
    "white everywhere, alpha": lambda m: _rgba(_three(m * 0 + 255), m * 255),
    "a cut-out photograph": lambda m: _rgba(_photo() * m[..., None], m * 255),
    "painted and opaque": lambda m: _rgba(_three(m * 255), m * 0 + 255),
}


def _full() -> Image.Image:
    return Image.new("L", SIZE[::-1], 255)


def _saved(image: Image.Image, tmp_path, **options):
    path = tmp_path / ("a.tif" if image.mode in ("F", "I") else "a.png")
    image.save(path, **options)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_above_0_is_inside(mask, tmp_path, form):
    path = _saved(FORMS[form](mask), tmp_path)
    assert np.array_equal(read_mask(path), mask.astype(bool))


@pytest.mark.parametrize("transparent", [0, 1])
def test_transparency_of_a_palette_does_not_count(mask, tmp_path, transparent):
    path = _saved(_palette(mask, [0, 0, 0, 0, 255, 0]), tmp_path, transparency=transparent)
    assert np.array_equal(read_mask(path), mask.astype(bool))


def test_a_painted_mask_on_a_transparent_page(mask, tmp_path):
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:3] = 0
    path = _saved(_rgba(_three(mask * 255), alpha), tmp_path)
    assert np.array_equal(read_mask(path), mask.astype(bool))


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpeg_of_black_and_white_has_a_tolerance(mask, tmp_path, quality, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_three(mask * 255)).save(path, "JPEG", quality=quality)
    assert (read_mask(path) != mask.astype(bool)).sum() <= 2
    values, masks = read_regions(path)
    assert len(values) == len(masks) == 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_masks_are_turned_upright(tmp_path, suffix, orientation):
    stored = np.zeros((16, 24), np.uint8)
    stored[:8, :8] = 255
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    assert np.array_equal(read_mask(path), np.rot90(stored > 0, turns))


def _soft() -> Image.Image:
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(x - 32, y - 32)
    return Image.fromarray((255 * np.clip((24 - distance) / 2, 0, 1)).astype(np.uint8))


@pytest.mark.parametrize(
    ("read", "image", "message"),
    [
        (read_mask, lambda: Image.fromarray(np.full(SIZE, 0.5, np.float32)), "threshold them"),
        (read_mask, lambda: Image.fromarray(np.full(SIZE, np.nan, np.float32)), "has NaN"),
        (read_mask, lambda: Image.fromarray(np.full(SIZE, -1, np.int32)), "has the value -1"),
        (
            read_mask,
            lambda: _palette(np.eye(9, dtype=np.uint8), [255, 255, 255, 0, 0, 0]),
            "index 0, outside, is bright and the others are black; save it as a grey",
        ),
        (read_regions, lambda: Image.fromarray(_photo()), "colours, as photographs"),
        (read_regions, _soft, "values, as photographs and soft edges have"),
        (read_numbers, lambda: Image.fromarray(_photo()), r"not an index map \(mode RGB\)"),
    ],
)
def test_what_is_no_mask(tmp_path, read, image, message):
    path = _saved(image(), tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("read", [read_mask, read_regions, read_numbers])
@pytest.mark.parametrize("values", ["photograph", "class numbers"])
def test_jpeg_of_anything_else_is_refused(tmp_path, read, values):
    pixels = _photo() if values == "photograph" else np.full(SIZE, 3, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(DataError, match=r"JPEG.* save (masks and )?label maps as .png"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png"])
def test_pages_are_refused(tmp_path, suffix):
    pages = [Image.fromarray(np.full(SIZE, i, np.uint8)) for i in range(3)]
    pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="has 3 pages or frames"):
        read_mask(tmp_path / f"a{suffix}")


def test_regions_by_value_and_by_colour(tmp_path):
    index = np.zeros(SIZE, np.uint16)
    index[:3], index[5:8] = 7, 300
    Image.fromarray(index).save(tmp_path / "index.png")
    values, masks = read_regions(tmp_path / "index.png")
    assert values == [7, 300]
    assert np.array_equal(masks, [index == 7, index == 300])
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[:3], colors[5:8] = (0, 0, 200), (100, 0, 0)
    Image.fromarray(colors).save(tmp_path / "colors.png")
    values, masks = read_regions(tmp_path / "colors.png")
    assert values == [100, 200 << 16]
    assert np.array_equal(masks, [index == 300, index == 7])


def test_numbers_of_grey_saved_as_colours_or_floats(tmp_path):
    numbers = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.fromarray(_three(numbers)).save(tmp_path / "a.png")
    Image.fromarray(numbers.astype(np.float32)).save(tmp_path / "a.tif")
    Image.merge("LA", [Image.fromarray(numbers), Image.new("L", (6, 5), 255)]).save(
        tmp_path / "b.png"
    )
    for name in ("a.png", "a.tif", "b.png"):
        read = read_numbers(tmp_path / name)
        assert read.dtype == np.int32
        assert np.array_equal(read, numbers)
