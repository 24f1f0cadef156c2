"""SEEM and X-Decoder, in their official layout."""

from __future__ import annotations

from segtune.backbones.spec import FolderMark, ModelSpec

SEEM = ModelSpec(
    "seem",
    titles=("SEEM",),
    can=("words", "points"),  # an X-Decoder takes no points and says so
    folder_marks=(FolderMark(values=("seem",)),),
    state_marks=("sem_seg_head.predictor.",),
    load_folder="segtune.backbones.seem.files:load_seem",
    load_state="segtune.backbones.seem.files:seem_from_official",
    random="segtune.backbones.seem.random:tiny_seem",
)
