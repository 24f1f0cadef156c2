from pathlib import Path

import pytest

from segtune.cli.images import ImageFile
from segtune.cli.options.outputs import choose_task, image_refs
from segtune.errors import SegtuneError
from segtune.export.sinks import SINKS, Format, ImageRef


@pytest.mark.parametrize(
    ("task", "formats", "expected"),
    [
        (None, None, ("semantic", ("overlay", "png"))),
        ("instance", None, ("instance", ("overlay", "coco"))),
        (None, ("coco",), ("instance", ("coco",))),
        (None, ("coco", "png"), ("panoptic", ("coco", "png"))),
        ("panoptic", ("png",), ("panoptic", ("png",))),
    ],
)
def test_task_and_formats_suit_each_other(task, formats, expected) -> None:  # type: ignore[no-untyped-def]
    assert choose_task(task, formats) == expected


def test_a_format_that_cannot_hold_the_task() -> None:
    with pytest.raises(SegtuneError, match="use --task instance or panoptic"):
        choose_task("semantic", ("coco",))


def test_formats_that_no_task_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    maps_only = Format("maps", "label maps", ("semantic",), "{name}.npy", "nowhere:Nothing")
    monkeypatch.setitem(SINKS._entries, "maps", maps_only)
    with pytest.raises(SegtuneError, match="no task has answers for all of maps, coco"):
        choose_task(None, ("maps", "coco"))


def test_names_of_images_in_annotation_files(tmp_path: Path) -> None:
    images = [ImageFile("a", tmp_path / "x" / "a.jpg"), ImageFile("b", tmp_path / "b.png")]
    assert image_refs(images) == {"a": ImageRef(1, "x/a.jpg"), "b": ImageRef(2, "b.png")}
