"""SAM, SAM 2 and SAM 3, in the layout of transformers."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

SAM = ModelSpec(
    "sam",
    titles=("SAM", "SAM 2"),
    can=("points", "proposals", "everything"),
    folder_marks=(FolderMark(values=("sam", "sam2", "sam2_video")),),
    load_folder="segtune.backbones.sam.files:sam_from_folder",
    load_proposals="segtune.backbones.sam.files:proposals_from_folder",
    random="segtune.backbones.sam.random:tiny_sam",
)
SAM3 = ModelSpec(
    "sam3",
    titles=("SAM 3",),
    can=("words",),
    folder_marks=(FolderMark(values=("sam3", "sam3_video")),),
    load_folder="segtune.backbones.sam.files:sam_from_folder",
    random="segtune.backbones.sam.random:tiny_sam3",
)
