"""Files and folders with the masks of several images: each image gets its own."""

import logging

import numpy as np
import pytest
from PIL import Image

from segtune.data.masks.source import MaskSource
from segtune.errors import DataError, SegtuneError

SIZE = (6, 8)


def _mask(path, pixels: int, *, size=SIZE):
    """Writes a mask with so many pixels inside."""
    values = np.zeros(size, np.uint8)
    values.flat[:pixels] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _counts(source: MaskSource, image: str) -> list[int]:
    return source.of(image, SIZE, only_image=False).sum((1, 2)).tolist()


def test_folders_of_images_may_be_repeated(tmp_path):
    for pixels, camera in enumerate(("cam1", "cam2"), start=3):
        _mask(tmp_path / camera / "0001.png", pixels)
        _mask(tmp_path / camera / "0002" / "a.png", 10 * pixels)
        _mask(tmp_path / camera / "0002" / "b.png", 1)
    source = MaskSource(tmp_path, images=["cam1/0001.jpg", "cam2/0001.jpg"])
    assert _counts(source, "cam1/0001.jpg") == [3]
    assert _counts(source, "cam2/0001.jpg") == [4]
    assert _counts(source, "photos/cam2/0002.jpg") == [40, 1]
    with pytest.raises(DataError, match=r"has 2 entries that may be 0002.jpg: cam1/0002, cam2/00"):
        source.of("0002.jpg", SIZE)
    with pytest.raises(DataError, match="has no masks for 0003; for several images"):
        source.of("cam2/0003.jpg", SIZE, only_image=False)


def test_a_folder_and_a_file_of_one_name_are_refused(tmp_path):
    _mask(tmp_path / "a" / "0.png", 3)
    _mask(tmp_path / "a.png", 4)
    with pytest.raises(DataError, match=r"may be a.jpg: a, a.png"):
        MaskSource(tmp_path).of("a.jpg", SIZE)


def test_masks_of_another_size_are_named(tmp_path):
    _mask(tmp_path / "a" / "0.png", 3)
    _mask(tmp_path / "a" / "1.png", 3, size=(6, 9))
    with pytest.raises(SegtuneError, match=r"a/1.png are 9x6 but the image is 8x6"):
        MaskSource(tmp_path).of("a.jpg", SIZE)


def test_full_masks_are_named(tmp_path, caplog):
    _mask(tmp_path / "a" / "0.png", 3)
    _mask(tmp_path / "a" / "1.png", 48)
    with caplog.at_level(logging.WARNING):
        assert MaskSource(tmp_path).of("a.jpg", SIZE).sum() == 51
    assert [record.getMessage() for record in caplog.records] == [
        f"the mask {tmp_path / 'a' / '1.png'} is full: every pixel is inside"
    ]


def test_jpeg_masks_of_a_folder_are_read(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.zeros((32, 32), np.uint8)
    values[8:24, 8:24] = 255
    Image.fromarray(values).save(tmp_path / "a" / "0.jpg", quality=90)
    masks = MaskSource(tmp_path).of("a.png", (32, 32))
    assert np.array_equal(masks[0], values > 0)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello"])
def test_damaged_arrays(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"is not a numpy file of masks"):
        MaskSource(tmp_path / "a.npy").of(None, SIZE)
