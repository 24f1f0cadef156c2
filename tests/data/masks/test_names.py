"""Entries of files belong to the image whose name and folders they share, and to no other."""

import unicodedata

import pytest

from segtune.data.masks.names import Names
from segtune.errors import DataError


@pytest.mark.parametrize(
    ("known", "image", "expected"),
    [
        (["cam1/0001.jpg", "cam2/0001.jpg"], "cam2/0001.jpg", "cam2/0001.jpg"),
        (["x/a.jpg", "y/a.jpg"], "y/a.jpg", "y/a.jpg"),
        (["a.jpg", "y/a.jpg"], "y/a.jpg", "y/a.jpg"),
        (["y/a.jpg", "a.jpg"], "a.jpg", "a.jpg"),
        (["1/cam/a.jpg", "2/cam/a.jpg"], "runs/2/cam/a.jpg", "2/cam/a.jpg"),
        (["cam1\\0001.jpg", "cam2\\0001.jpg"], "cam2/0001.jpg", "cam2\\0001.jpg"),
        (["./cam1/a.jpg", "./cam2/a.jpg"], "cam1/a.jpg", "./cam1/a.jpg"),
        (["a.png", "a.jpg"], "photos/a.jpg", "a.jpg"),
        (["a", "b"], "photos/a.jpg", "a"),
        (["a.png"], "photos/a.jpg", "a.png"),
        (["frame.1", "frame.2"], "frame.2.jpg", "frame.2"),
        (["cam2/0001", "0001.jpg"], "cam2/0001.jpg", "cam2/0001"),
        (["images/a.jpg"], "photos/a.jpg", "images/a.jpg"),
        (["b.jpg", "frame.jpg"], "a.jpg", None),
        (["frame.1.jpg"], "frame.jpg", None),
        (["ba.jpg"], "a.jpg", None),
        ([], "a.jpg", None),
        ([""], "a.jpg", None),
    ],
)
def test_the_entry_of_an_image(known, image, expected):
    assert Names(known, where="masks.json").find(image) == expected


def test_accents_of_any_file_system():
    composed, apart = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")
    assert Names([composed], where="m.json").find(apart) == composed
    assert Names([apart], where="m.json").find(composed) == apart


@pytest.mark.parametrize(
    ("known", "image"),
    [
        (["x/a.jpg", "y/a.jpg"], "a.jpg"),
        (["x/a.jpg", "y/a.jpg"], "z/a.jpg"),
        (["a.png", "a.tif"], "a.jpg"),
        (["a", "a.png"], "a.jpg"),
        (["a.jpg", "a.jpg"], "photos/a.jpg"),
    ],
)
def test_two_of_equal_rank_are_refused_by_name(known, image):
    with pytest.raises(DataError, match="has 2 entries that may be") as caught:
        Names(known, where="masks.json").find(image)
    assert all(name in str(caught.value) for name in known)


def test_no_image_gets_the_entry_of_another():
    images = ["cam1/0001.jpg", "cam2/0001.jpg", "a.jpg", "a.png"]
    names = Names(["cam1/0001.jpg", "a.jpg"], where="masks.json", images=images)
    assert names.find("cam1/0001.jpg") == "cam1/0001.jpg"
    assert names.find("cam2/0001.jpg") is None
    assert names.find("a.jpg") == "a.jpg"
    assert names.find("a.png") is None


def test_an_entry_of_two_images_is_refused_by_their_names():
    names = Names(["0001.jpg", "b"], where="m.json", images=["x/0001.jpg", "y/0001.jpg", "x/b.jpg"])
    with pytest.raises(DataError, match=r"0001.jpg in m.json may be of x/0001.jpg or of y/0001"):
        names.find("x/0001.jpg")
    assert names.find("x/b.jpg") == "b"
