"""A MaskFormer whose queries live in the space of words: the first stage of OVSeg and its peers."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

MASKFORMER = ModelSpec(
    "maskformer",
    titles=("MaskFormer",),
    can=("proposals",),
    folder_marks=(FolderMark(values=("text-maskformer",)),),
    load_proposals="segtune.backbones.maskformer.files:proposals_from_folder",
)
