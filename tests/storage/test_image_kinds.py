"""Kinds of pictures: read by Pillow, by a plug-in that is installed, or named as not read."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from segtune.errors import DataError
from segtune.storage import image_kinds
from segtune.storage.image_kinds import is_available, is_picture, why_not
from segtune.storage.images import read_image
from tests.data.trees import SIZE, save_image


@pytest.fixture(autouse=True)
def _fresh():
    is_available.cache_clear()
    yield
    is_available.cache_clear()


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".pgm", ".pnm", ".jp2", ".avif"])
def test_what_pillow_reads(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not is_available(".avif"):
        pytest.skip("this Pillow reads no AVIF")
    save_image(tmp_path / "a.png")
    kind = {".jfif": "JPEG", ".jpe": "JPEG", ".pgm": "PPM", ".pnm": "PPM"}.get(suffix)
    Image.open(tmp_path / "a.png").save(tmp_path / f"a{suffix}", kind)
    assert read_image(tmp_path / f"a{suffix}").shape == (*SIZE, 3)
    assert is_picture(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("name", "package"), [("a.heic", "pillow-heif"), ("a.JXL", "pillow-jxl-plugin")]
)
def test_a_missing_plug_in_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(image_kinds, "find_spec", lambda name: None)
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=f"without a plug-in; type pip install {package}"):
        read_image(tmp_path / name)


def test_an_installed_plug_in_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    module = ModuleType("pillow_heif")
    module.__spec__ = ModuleSpec("pillow_heif", None)
    module.register_heif_opener = lambda: asked.append("opener")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    save_image(tmp_path / "a.png").rename(tmp_path / "a.heic")
    assert read_image(tmp_path / "a.heic").shape == (*SIZE, 3)
    assert asked == ["opener"]
    assert is_available(".heic")
    assert "check the file" in why_not(Path("a.heic"))


def test_other_files() -> None:
    assert is_picture(Path("a.dng"))
    assert "is of a kind that is not read; save it as .png" in why_not(Path("a.DNG"))
    assert not is_picture(Path("a.json"))
    assert not is_available(".json")
