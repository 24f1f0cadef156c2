"""Mask proposals in front of a CLIP, and proposals of transformers, which know no words."""

from __future__ import annotations

from typing import Literal

from segtune.backbones.spec import FolderMark, ModelSpec

Recipe = Literal["ovseg", "simbaseline", "zegformer"]
"""The published system that the weights of a pair belong to."""

TWO_STAGE = ModelSpec(
    "two-stage",
    titles=("proposals with a CLIP",),
    can=("words",),
    folder_marks=(FolderMark(values=("two-stage",)),),
    state_marks=(
        "sem_seg_head.predictor.",
        ("clip_adapter.", "sem_seg_head.predictor.bg_feature"),
    ),
    load_folder="segtune.backbones.two_stage.files:load_two_stage",
    load_state="segtune.backbones.two_stage.files:two_stage_from_official",
    load_pair="segtune.backbones.two_stage.files:load_pair",
    random="segtune.backbones.two_stage.random:tiny_two_stage",
)
HF_PROPOSALS = ModelSpec(
    "hf-maskformer",
    titles=("MaskFormer or Mask2Former of transformers",),
    can=("proposals",),
    folder_marks=(FolderMark(values=("maskformer", "mask2former")),),
    load_proposals="segtune.backbones.two_stage.hf_proposals:proposals_from_folder",
)
