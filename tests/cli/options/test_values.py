import argparse

import pytest

from segtune.cli.options.values import formats, setting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps=100", ("steps", 100)),
        ("lr=1e-3", ("lr", 0.001)),
        ("lr=-2.5E+1", ("lr", -25.0)),
        ("flip=false", ("flip", False)),
        ("crop=null", ("crop", None)),
        ("variant=paper", ("variant", "paper")),
        ("layers=1,3,5", ("layers", "1,3,5")),
        ("train_grid=[8, 8]", ("train_grid", [8, 8])),
        ("fit.loop.steps=5", ("fit.loop.steps", 5)),
        ("data=a?b=c", ("data", "a?b=c")),
    ],
)
def test_settings_are_typed_like_yaml(text: str, expected: tuple[str, object]) -> None:
    assert setting(text) == expected
    assert type(setting(text)[1]) is type(expected[1])


@pytest.mark.parametrize("text", ["steps", "=3", "a=[1"])
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        setting(text)


def test_formats_are_named_once() -> None:
    assert formats("png, coco,png") == ("png", "coco")
    with pytest.raises(argparse.ArgumentTypeError, match="names no format"):
        formats(" ,")
