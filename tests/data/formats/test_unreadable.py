"""Projects of other tools are named, with what to do."""

from pathlib import Path

import pytest

from segtune.data.formats import open_dataset
from segtune.data.formats.unreadable import recognised
from segtune.errors import DataError

BOXES = "<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>"
VIA_CSV = "filename,region_shape_attributes,region_attributes\n"
DARWIN = '{"version": "2.0", "item": {"name": "a.jpg", "slots": []}, "annotations": []}'
LABELBOX = '{"data_row": {}, "projects": {}}'
MIN = '[{"image": "a.jpg", "label": [{"polygonlabels": ["a"], "original_width": 8}]}]'


@pytest.mark.parametrize(
    ("name", "content", "tool"),
    [
        (
            "via_project.json",
            '{"_via_settings": {}, "_via_img_metadata": {}}',
            "VGG Image Annotator",
        ),
        ("via.csv", VIA_CSV, "VGG Image Annotator"),
        ("Annotations/a.xml", BOXES, "Pascal VOC with bounding boxes"),
        ("train.csv", "ImageId,EncodedPixels\n", "run lengths of Kaggle"),
        ("export.ndjson", LABELBOX, "Labelbox"),
        ("a.json", DARWIN, "Darwin"),
        ("min.json", MIN, "JSON-MIN of Label Studio"),
        ("train.tfrecord", "", "TensorFlow"),
        ("scan.nii.gz", "", "NIfTI"),
    ],
)
def test_tools(tmp_path: Path, name: str, content: str, tool: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    with pytest.raises(DataError, match=f"looks like .*{tool}"):
        open_dataset(tmp_path)


def test_anything_else_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    assert recognised(tmp_path) is None
