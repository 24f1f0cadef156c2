"""What is recognised and cannot be read: the tool is named, and what to export instead."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

PEEKED_BYTES = 65536
MOST_FILES = 40

_SIGNS: tuple[tuple[tuple[str, ...], tuple[bytes, ...], str], ...] = (
    (
        (".json",),
        (b'"_via_img_metadata"',),
        "a VGG Image Annotator project; export it there as COCO (Annotation > Export)",
    ),
    (
        (".json", ".csv"),
        (b"shape_attributes", b"region_attributes"),
        "an export of VGG Image Annotator; export it there as COCO (Annotation > Export)",
    ),
    (
        (".xml",),
        (b"<annotation>", b"<bndbox>"),
        "Pascal VOC with bounding boxes; make masks of them with `segtune segment --boxes`",
    ),
    (
        (".xml",),
        (b"<annotation>", b"<polygon>"),
        "the XML of LabelMe's website; open it in a tool that exports COCO",
    ),
    (
        (".csv",),
        (b"EncodedPixels",),
        "run lengths of Kaggle in a CSV; make label maps of them, see segtune.data.masks",
    ),
    (
        (".ndjson", ".jsonl", ".json"),
        (b'"data_row"', b'"projects"'),
        "an export of Labelbox; export masks there and make label maps of them",
    ),
    (
        (".json",),
        (b'"item"', b'"slots"'),
        "Darwin JSON of V7; export it there as COCO",
    ),
    (
        (".json",),
        (b'"imageName"', b'"attributes"'),
        "a project of Superannotate; export it there as COCO",
    ),
    (
        (".json",),
        (b'"asset"', b'"regions"', b'"boundingBox"'),
        "a project of VoTT; export it there as COCO",
    ),
    (
        (".json",),
        (b'"polygonlabels"', b'"original_width"'),
        "JSON-MIN of Label Studio; export it there as JSON",
    ),
    (
        (".json",),
        (b'"brushlabels"', b'"original_width"'),
        "JSON-MIN of Label Studio; export it there as JSON",
    ),
)
"""(endings of files, bytes that all occur in their beginning, what it is and what to do)."""
_ENDINGS = {
    ".tfrecord": "records of TensorFlow; export it as COCO",
    ".nii": "NIfTI volumes; save slices as images/ and labels/, as PNG",
    ".nii.gz": "NIfTI volumes; save slices as images/ and labels/, as PNG",
    ".dcm": "DICOM; save slices as images/ and labels/, as PNG",
    ".geojson": "GeoJSON; burn polygons into label maps, for example with gdal_rasterize",
    ".shp": "shapefiles; burn polygons into label maps, for example with gdal_rasterize",
    ".lif": "microscope stacks; save slices as images/ and labels/, as PNG",
    ".hdf5": "HDF5; save images/ and labels/, as PNG",
    ".h5": "HDF5; save images/ and labels/, as PNG",
}


def recognised(path: Path) -> str | None:
    """Returns what a path looks like and what to do with it; None where it is not known.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "p.json").write_text('{"_via_img_metadata": {}}')
        >>> recognised(folder)
        'a VGG Image Annotator project; export it there as COCO (Annotation > Export)'
    """
    for file in _files(path):
        for endings, signs, what in _SIGNS:
            if file.suffix.lower() in endings and _has(file, signs):
                return what
        for ending, what in _ENDINGS.items():
            if file.name.lower().endswith(ending):
                return what
    return None


def _files(path: Path) -> list[Path]:
    """Returns some files of a folder and of those in it."""
    if path.is_file():
        return [path]
    found = (file for file in (*path.glob("*"), *path.glob("*/*")) if file.is_file())
    endings = {end for ends, _, _ in _SIGNS for end in ends} | {f".{e}" for e in ("gz",)}
    wanted = (f for f in found if f.suffix.lower() in endings or f.suffix.lower() in _ENDINGS)
    return sorted(islice(wanted, MOST_FILES))


def _has(file: Path, signs: tuple[bytes, ...]) -> bool:
    with file.open("rb") as stream:
        start = stream.read(PEEKED_BYTES)
    return all(sign in start for sign in signs)
