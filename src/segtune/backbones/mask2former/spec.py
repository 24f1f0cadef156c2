"""Mask2Former: official checkpoints, SegPrompt's included, and folders of our own."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

MASK2FORMER = ModelSpec(
    "mask2former",
    titles=("Mask2Former",),
    can=("proposals",),
    folder_marks=(FolderMark(values=("class-mask2former",)),),
    state_marks=(
        "sem_seg_head.predictor.",
        "sem_seg_head.predictor.class_embed.weight",
        ("sem_seg_head.predictor.query_feat.", "sem_seg_head.predictor.static_query."),
    ),
    load_folder="segtune.backbones.mask2former.files:load_mask2former",
    load_state="segtune.backbones.mask2former.files:mask2former_from_official",
    load_proposals="segtune.backbones.mask2former.files:proposals_from_folder",
    random="segtune.backbones.mask2former.random:tiny_mask2former",
)
