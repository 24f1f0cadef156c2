"""Uni-OVSeg: the official `stage1.pth`, and folders of our own."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

_HERE = "segtune.backbones.uniovseg"

UNIOVSEG = ModelSpec(
    "uniovseg",
    titles=("Uni-OVSeg",),
    can=("words", "points", "proposals", "everything"),
    folder_marks=(FolderMark(values=("uniovseg",)),),
    state_marks=("sem_seg_head.predictor.prompt_encoder.", "backbone.clip_model.visual.trunk."),
    load_folder=f"{_HERE}.files:load_uniovseg",
    load_state=f"{_HERE}.files:uniovseg_from_official",
    load_proposals=f"{_HERE}.files:proposals_from_folder",
    random=f"{_HERE}.random:tiny_uniovseg",
)
